using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Recall;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Evaluation.Recall;

public sealed class RecallTests
{
    public RecallTests() => LibTorch.EnsureLoaded();

    [Fact]
    public void RegimeOf_AnyLength_IsThatOfTheRuleOfThePaper()
    {
        const int W = 64;
        List<int> kept = [];
        for (var length = 1; length <= 1500; length++)
        {
            // if |A| < 3W: A = A ‖ t, else A = A[0:2W:2] ‖ A[2W:3W] ‖ t
            if (kept.Count >= 3 * W)
                kept = [.. kept.Take(2 * W).Where((_, i) => i % 2 == 0), .. kept.Skip(2 * W)];
            kept.Add(length - 1);
            if (length % 37 != 0)
                continue;
            for (var first = 0; first + 3 <= length; first++)
            {
                var rows = Enumerable.Range(first, 3).Count(kept.Contains);
                var isRecent = Enumerable.Range(first, length - first).All(kept.Contains);
                Regimes.Of(length, first, 3).ShouldBe(isRecent ? Regime.Window : rows >= 2 ? Regime.LogSet : Regime.Page, $"{first} of {length}");
            }
        }
    }

    [Fact]
    public async Task Mark_ShippedModel_RightAnswersAreWhatTheEngineWrites()
    {
        using var team = new WorkerTeam(Environment.ProcessorCount);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        var exam = new ForcedRecall(BytePairEncoder.Load(ModelSource.DemoFolder), RecallTask.Needles, seed: 3, tokens: 1200);
        using var cache = MethodCatalog.Dense.For(model.Shape).Create();

        var forced = exam.Mark(model, cache, TestContext.Current.CancellationToken);

        await using var engine = await LlmEngine.LoadAsync(new() { ModelPath = ModelSource.DemoFolder, KvCache = new() { Kind = KvCacheKind.Dense } });
        var written = await new EngineRecall(engine, model, RecallTask.Needles, seed: 3).PlayAsync(1200, TestContext.Current.CancellationToken);
        forced.Count.ShouldBeGreaterThan(5);
        foreach (var (one, other) in forced.Zip(written))
        {
            other.Kind.ShouldBe(one.Kind);
            if (one.IsRight)
                other.IsRight.ShouldBeTrue();
        }

        forced.Count(a => a.IsRight).ShouldBeGreaterThan(forced.Count / 2);
    }

    [Fact]
    public void Mark_AllTasks_AsksForEveryKindAndRegime()
    {
        var encoder = BytePairEncoder.Load(ModelSource.DemoFolder);
        using var team = new WorkerTeam(1);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        var answers = new List<RecallAnswer>();
        foreach (var (task, seed) in RecallTask.All.SelectMany(t => Enumerable.Range(1, 6).Select(s => (t, s))))
        {
            var exam = new ForcedRecall(encoder, task, seed, tokens: 2500);
            exam.Tokens.ShouldBeInRange(2200, 2500);
            using var cache = MethodCatalog.Dense.For(model.Shape).Create();
            answers.AddRange(exam.Mark(model, cache, TestContext.Current.CancellationToken));
        }

        answers.Select(a => a.Kind).Distinct().ShouldBe([.. Enum.GetNames<RecallKind>(), RecallAnswer.ToolCall, RecallAnswer.Refusal], ignoreOrder: true);
        answers.Where(a => a.Regime is not null).Select(a => a.Regime!.Value).Distinct().ShouldBe(Enum.GetValues<Regime>(), ignoreOrder: true);
    }
}
