using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public class TeacherForcingTests
{
    /// <summary>The shipped model on a held-out dialogue: in chunks, and a token at a time as a generation does.</summary>
    [Theory]
    [InlineData("ours")]
    [InlineData("partial")]
    [InlineData("kivi-hf")]
    [InlineData("logquant-code")]
    [InlineData("ours-reach4")]
    public void Run_InChunks_GivesTheLogitsOfSingleTokens(string id)
    {
        LibTorch.EnsureLoaded();
        using var team = new WorkerTeam(1);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        var text = TextSource.Dialogue(TextSource.DialogueEncoder(model)!, seed: 5, tokens: 420);
        text.PromptEnds.Count.ShouldBeGreaterThan(1);
        var method = MethodCatalog.Choose([id])[0].For(model.Shape);
        using var scope = NewDisposeScope();

        var chunked = zeros(text.Ids.Count, model.Decoder.Config.VocabSize);
        using (var cache = method.Create())
        {
            TeacherForcing.Run(
                model, cache, text.Ids, (first, logits) => chunked.narrow(0, first, logits.shape[0]).copy_(logits), text.PromptEnds);
        }

        using var single = method.Create();
        var worst = 0f;
        for (var i = 0; i < text.Ids.Count; i++)
        {
            using var stepScope = NewDisposeScope();
            var logits = TeacherForcing.Step(model, single, [text.Ids[i]], allLogits: false);
            worst = Math.Max(worst, logits[0].sub(chunked[i]).abs().max().item<float>());
            if (text.PromptEnds.Contains(i + 1))
                single.EndPrompt();
        }

        // Codes at a rounding point may differ; nothing else does.
        worst.ShouldBeLessThan(0.05f);
        single.Length.ShouldBe(text.Ids.Count);
    }
}
