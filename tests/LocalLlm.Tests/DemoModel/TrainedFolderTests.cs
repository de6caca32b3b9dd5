using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.Tests.DemoModel;

/// <summary>The folder that a training writes is one that the engine loads.</summary>
public sealed class TrainedFolderTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("trained-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Write_OverATunedModel_LoadsWithoutItsBits()
    {
        LibTorch.EnsureLoaded();
        var encoder = BytePairEncoder.Load(DemoModelFolder.Require());
        await File.WriteAllTextAsync(
            Path.Combine(folder, "kv_cache.json"), """{"key_bits": [2], "slow_key_bits": [2], "value_bits": [2]}""", TestContext.Current.CancellationToken);
        var config = new NetworkConfig { VocabularySize = encoder.Count };
        using (var network = new Network(config, ScalarType.Float32, seed: 1))
            ModelFolder.Write(folder, network, encoder);

        using (var written = global::LocalLlm.Loading.ModelFolder.Open(folder))
        {
            written.Errors.ShouldBeEmpty();
            written.CacheBits.ShouldBeNull();
        }

        await using var engine = await LlmEngine.LoadAsync(
            new() { ModelPath = folder, Device = "cpu" }, cancellationToken: TestContext.Current.CancellationToken);
        await engine.EmbedAsync(["a"], cancellationToken: TestContext.Current.CancellationToken);
    }
}
