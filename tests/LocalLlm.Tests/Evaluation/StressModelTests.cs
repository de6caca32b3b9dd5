using System.Text.Json.Nodes;
using LocalLlm.Evaluation.Models;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Tests.Loading;
using LocalLlm.Tests.Models;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public sealed class StressModelTests : IDisposable
{
    private readonly CheckpointWriter writer = new();

    public StressModelTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData("LlamaForCausalLM", """{"head_dim": 16}""")]
    [InlineData("LlamaForCausalLM", """{"attention_bias": true, "num_key_value_heads": 4}""")]
    [InlineData("Qwen2ForCausalLM", """{"num_key_value_heads": 1}""")]
    [InlineData("Qwen3ForCausalLM", """{"head_dim": 16}""")]
    [InlineData("Qwen3ForCausalLM", """{"attention_bias": true}""")]
    [InlineData("Phi3ForCausalLM", """{"num_key_value_heads": 4}""")]
    [InlineData("Phi3ForCausalLM", """{"head_dim": 16, "partial_rotary_factor": 0.5}""")]
    public void Apply_FullPrecision_KeepsItsLogitsAndGetsOutlierKeys(string architecture, string fields)
    {
        var config = RandomCheckpoint.Config(architecture, JsonNode.Parse(fields)!.AsObject());
        writer.WriteModel(config, RandomCheckpoint.Tensors(config));
        using var folder = ModelFolder.Open(writer.FolderPath);
        using var model = DecoderModel.Load(folder, CPU);
        var ids = RandomCheckpoint.Ids(config, 20);
        int[] rows = [.. Enumerable.Range(0, ids.Length)];
        using var before = new DenseKvCache(ModelRun.Shape(model));
        using var after = new DenseKvCache(ModelRun.Shape(model));

        var expected = ModelRun.Step(model, before, ids, rows);
        StressModel.Apply(model);
        var logits = ModelRun.Step(model, after, ids, rows);

        // Powers of two change no rounding.
        for (var row = 0; row < rows.Length; row++)
            logits[row].ShouldBe(expected[row]);
        using var scope = NewDisposeScope();
        for (var layer = 0; layer < model.Config.Layers; layer++)
        {
            var growth = after.View(layer).Keys.abs().amax([1]).div(before.View(layer).Keys.abs().amax([1])).cpu();
            for (var head = 0; head < model.Config.KvHeads; head++)
            {
                var factors = growth[head].data<float>().ToArray();
                factors.Count(f => f == 16).ShouldBe(2);
                factors.Count(f => f == 8).ShouldBe(2);
                factors.Count(f => f == 1).ShouldBe(model.Config.HeadDim - 4);
            }

            after.View(layer).Values.eq(before.View(layer).Values).all().item<bool>().ShouldBeTrue();
        }
    }

    public void Dispose() => writer.Dispose();
}
