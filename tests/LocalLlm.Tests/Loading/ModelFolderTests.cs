using LocalLlm.Loading;
using LocalLlm.Tests.Models;

namespace LocalLlm.Tests.Loading;

public sealed class ModelFolderTests : IDisposable
{
    private readonly CheckpointWriter writer = new();

    [Fact]
    public void Open_EmptyFolder_ListsEverythingMissing()
    {
        using var folder = ModelFolder.Open(writer.FolderPath);

        folder.Errors.ShouldBe(
        [
            "config.json is missing.",
            "tokenizer.json or tokenizer.model is missing.",
            "model.safetensors or model.safetensors.index.json is missing.",
        ]);
        Should.Throw<ModelLoadException>(() => folder.ThrowIfInvalid(["and this."])).Errors.Count.ShouldBe(4);
    }

    [Fact]
    public void Open_NoFolder_SaysSo()
    {
        using var missing = ModelFolder.Open(Path.Combine(writer.FolderPath, "none"));
        writer.WriteText("file", "");
        using var file = ModelFolder.Open(writer.FilePath("file"));

        missing.Errors.ShouldBe(["it does not exist."]);
        file.Errors.ShouldHaveSingleItem().ShouldStartWith("it is a file;");
    }

    [Fact]
    public void Open_OtherWeights_SaysThatTheyMustBeConverted()
    {
        writer.WriteText("pytorch_model.bin", "");
        using var folder = ModelFolder.Open(writer.FolderPath);

        folder.Errors[^1].ShouldContain("There is 'pytorch_model.bin': only safetensors files are read; convert it.");
    }

    [Fact]
    public void Open_WholeFolder_FindsTheFiles()
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM");
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        writer.WriteText("chat_template.jinja", "");
        writer.WriteText("tokenizer_config.json", "{}");

        using var folder = ModelFolder.Open(writer.FolderPath);

        folder.Errors.ShouldBeEmpty();
        folder.EosTokenIds.ShouldBe([2]);
        folder.Generation.ShouldBeNull();
        folder.TokenizerJsonPath.ShouldBe(writer.FilePath("tokenizer.json"));
        folder.TokenizerModelPath.ShouldBeNull();
        folder.TokenizerConfigPath.ShouldBe(writer.FilePath("tokenizer_config.json"));
        folder.ChatTemplatePath.ShouldBe(writer.FilePath("chat_template.jinja"));
        folder.ThrowIfInvalid();
    }

    [Fact]
    public void EosTokenIds_GenerationConfig_GoesFirst()
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM", new() { ["eos_token_id"] = 7 });
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        writer.WriteText("generation_config.json", """{"eos_token_id": [8, 9]}""");

        using var folder = ModelFolder.Open(writer.FolderPath);
        folder.EosTokenIds.ShouldBe([8, 9]);
    }

    [Fact]
    public void CacheBits_KvCacheFile_AreReadForEachLayer()
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM", new() { ["num_hidden_layers"] = 3 });
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        using (var without = ModelFolder.Open(writer.FolderPath))
            without.CacheBits.ShouldBeNull();
        writer.WriteText("kv_cache.json", """{"key_bits": [2, 2, 4], "slow_key_bits": [2, 4, 4], "value_bits": [2, 3, 4], "note": "other fields do not matter"}""");

        using var folder = ModelFolder.Open(writer.FolderPath);

        folder.Errors.ShouldBeEmpty();
        folder.CacheBits.ShouldNotBeNull();
        folder.CacheBits.KeyBits.ShouldBe([2, 2, 4]);
        folder.CacheBits.SlowKeyBits.ShouldBe([2, 4, 4]);
        folder.CacheBits.ValueBits.ShouldBe([2, 3, 4]);
    }

    [Theory]
    [InlineData("""{"key_bits": [2, 2], "slow_key_bits": [3, 3, 3], "value_bits": [2, 2, 2]}""", "kv_cache.json: key_bits has 2 entries; the model has 3 layers")]
    [InlineData("""{"key_bits": [2, 2, 5], "slow_key_bits": [3, 3, 3], "value_bits": [2, 2, 2]}""", "must be an integer of 2 to 4")]
    [InlineData("""{"key_bits": [2, 2, 2], "value_bits": [2, 2, 2]}""", "slow_key_bits is missing")]
    [InlineData("""{"key_bits": [2, 3, 2], "slow_key_bits": [3, 4, 3], "value_bits": [2, 2, 2]}""", "slow_key_bits must be no more than the layer's key_bits")]
    [InlineData("[]", "kv_cache.json holds a JSON")]
    public void CacheBits_WrongFile_IsAnError(string json, string expected)
    {
        var config = RandomCheckpoint.Config("LlamaForCausalLM", new() { ["num_hidden_layers"] = 3 });
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        writer.WriteText("kv_cache.json", json);

        using var folder = ModelFolder.Open(writer.FolderPath);

        folder.Errors.ShouldHaveSingleItem().ShouldContain(expected);
    }

    public void Dispose() => writer.Dispose();
}
