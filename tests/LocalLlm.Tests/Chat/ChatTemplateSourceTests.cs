using LocalLlm.Chat;

namespace LocalLlm.Tests.Chat;

public sealed class ChatTemplateSourceTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("templates");

    public void Dispose() => _folder.Delete(recursive: true);

    private ChatTemplateSource Read(params (string File, string Text)[] files)
    {
        foreach (var (file, text) in files)
        {
            var path = Path.Combine(_folder.FullName, file);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
        }
        return ChatTemplateSource.Read(_folder.FullName);
    }

    [Fact]
    public void Read_TokenizerConfig_GivesTemplateAndTokens()
    {
        var source = Read(("tokenizer_config.json", """
            {"chat_template": "T", "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null, "model_max_length": 5,
             "extra_special_tokens": {"image_token": "<image>"}}
            """), ("special_tokens_map.json", """{"bos_token": "other", "unk_token": "<unk>", "additional_special_tokens": ["<x>"]}"""));
        source.Select(hasTools: true).ShouldBe("T");
        source.SpecialTokens.ShouldBe(new Dictionary<string, string>
        {
            ["bos_token"] = "<s>",
            ["eos_token"] = "</s>",
            ["unk_token"] = "<unk>",
            ["image_token"] = "<image>",
        }, ignoreOrder: true);
    }

    [Fact]
    public void Select_NamedTemplates_TakesToolUseForTools()
    {
        var source = Read(("tokenizer_config.json", """{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "U"}]}"""));
        source.Select(hasTools: false).ShouldBe("D");
        source.Select(hasTools: true).ShouldBe("U");
        source.Names.ShouldBe(["default", "tool_use"]);
    }

    [Fact]
    public void Read_OwnFile_WinsOverTheConfig()
    {
        Read(("tokenizer_config.json", """{"chat_template": "config"}""")).Select(false).ShouldBe("config");
        Read(("chat_template.json", """{"chat_template": "json"}""")).Select(false).ShouldBe("json");
        Read(("chat_template.jinja", "jinja")).Select(false).ShouldBe("jinja");
        var source = Read(("additional_chat_templates/tool_use.jinja", "tools"));
        source.Select(true).ShouldBe("tools");
        source.Select(false).ShouldBe("jinja");
    }

    [Fact]
    public void Select_NoTemplate_SaysWhatToAdd()
    {
        var source = Read(("tokenizer_config.json", "{}"));
        source.HasTemplate.ShouldBeFalse();
        var message = Should.Throw<ChatTemplateException>(() => source.Select(false)).Message;
        message.ShouldContain(_folder.FullName);
        message.ShouldContain("chat_template.jinja");
    }

    [Fact]
    public void Select_NoDefaultAmongSeveral_NamesThem() =>
        Should.Throw<ChatTemplateException>(() => Read(("tokenizer_config.json", """{"chat_template": [{"name": "a", "template": "A"}, {"name": "b", "template": "B"}]}""")).Select(false))
            .Message.ShouldContain("'a', 'b'");

    [Fact]
    public void Read_WrongFiles_ReportsAllOfThem()
    {
        var error = Should.Throw<ModelLoadException>(() => Read(("tokenizer_config.json", "{broken"), ("chat_template.json", """{"chat_template": 5}"""), ("special_tokens_map.json", "[]")));
        error.Errors.Count.ShouldBe(3);
        error.Message.ShouldContain("tokenizer_config.json");
        error.Message.ShouldContain("must be a string");
    }

    [Fact]
    public void FromText_Tokens_AreKept() => ChatTemplateSource.FromText("x", new Dictionary<string, string> { ["bos_token"] = "<s>" }).SpecialTokens["bos_token"].ShouldBe("<s>");
}
