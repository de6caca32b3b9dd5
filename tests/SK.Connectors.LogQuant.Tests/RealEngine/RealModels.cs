using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>Models on disk; a test that needs one skips where it is absent.</summary>
internal static class RealModels
{
    /// <summary>The model that ships with the sample.</summary>
    public static string RequireDemoModel()
    {
        // The build lays it beside every program that references the sample.
        var path = Path.Combine(AppContext.BaseDirectory, "model");
        if (!File.Exists(Path.Combine(path, "config.json")))
            Assert.Skip("needs the model that ships with the sample");
        return path;
    }

    /// <summary>
    /// A tiny story teller as a chat model: its own weights and tokenizer, and a template, since it has none. What it says is of no use,
    /// how it is said is: streamed, counted, cached, ended.
    /// </summary>
    public static StoryChatFolder RequireStoryChat()
    {
        var path = Find("shared", "data", "stories260K");
        if (path is null)
            Assert.Skip("needs shared/data/stories260K beside the repository");
        return new StoryChatFolder(path);
    }

    private static string? Find(params string[] path)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var found = Path.Combine([folder.FullName, .. path]);
            if (Directory.Exists(found))
                return found;
        }
        return null;
    }
}

/// <summary>A temporary model folder.</summary>
internal sealed class StoryChatFolder : IDisposable
{
    private const string Template =
        "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        + "{% if add_generation_prompt %}assistant:{% endif %}";

    public StoryChatFolder(string source)
    {
        Path = Directory.CreateTempSubdirectory("story-chat-").FullName;
        foreach (var file in new[] { "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json" })
            File.CreateSymbolicLink(System.IO.Path.Combine(Path, file), System.IO.Path.Combine(source, file));
        File.WriteAllText(System.IO.Path.Combine(Path, "chat_template.jinja"), Template);
    }

    public string Path { get; }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
