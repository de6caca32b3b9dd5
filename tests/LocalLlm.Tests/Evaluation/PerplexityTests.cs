using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Perplexity;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation;

public class PerplexityTests
{
    [Theory]
    [InlineData(1000, 256, 256)]
    [InlineData(1000, 256, 100)]
    [InlineData(100, 256, 256)]
    [InlineData(257, 256, 256)]
    public void Windows_AnyStride_CountEachTokenOnce(int total, int length, int stride)
    {
        var windows = PerplexityText.Windows(total, length, stride).ToList();

        windows.SelectMany(w => Enumerable.Range(w.FirstScored, w.End - w.FirstScored)).ShouldBe(Enumerable.Range(0, total));
        windows.ShouldAllBe(w => w.End - w.Start <= length && w.FirstScored >= w.Start);
        windows.Skip(1).SkipLast(1).ShouldAllBe(w => w.FirstScored - w.Start == length - stride);
    }

    [Fact]
    public void Octave_Positions_DoubleFrom64On()
    {
        new[] { 0, 63, 64, 127, 128, 255, 256, 4095, 4096 }.Select(PerplexityResult.Octave).ShouldBe([0, 0, 1, 1, 2, 2, 3, 6, 7]);
    }

    [Fact]
    public void Difference_SameTexts_ArePaired()
    {
        PerplexityResult[] full = [Result("a", 10, 5), Result("b", 90, 5), Result("c", 1, 1)];
        PerplexityResult[] own = [Result("b", 95, 5), Result("a", 15, 5)];

        var (mean, low, high) = PerplexitySection.Difference(own, full);

        mean.ShouldBe(1); // 10 nats more over 10 tokens; unpaired it would be 101/11 less
        low.ShouldBe(1);
        high.ShouldBe(1);
        PerplexitySection.Difference([], full).Mean.ShouldBeNull();
    }

    [Fact]
    public void Measure_FullPrecision_IsTheLikelihoodOfOnePassAtOnce()
    {
        LibTorch.EnsureLoaded();
        using var team = new WorkerTeam(1);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        var ids = model.Tokenizer.Encode(string.Concat(Enumerable.Repeat("The lamp on the bench is red and the box below holds nine bolts. ", 25)));
        var text = new PerplexityText(new EvaluatedText("t", ids, [new WrittenSpan(100, 110, 0)]), 70);

        var result = PerplexityMeter.Measure(model, text, MethodCatalog.Dense, "s", default);

        ids.Length.ShouldBeGreaterThan(300); // more than one chunk
        using var scope = NewDisposeScope();
        using var cache = MethodCatalog.Dense.For(model.Shape).Create();
        var logs = nn.functional.log_softmax(TeacherForcing.Step(model, cache, ids, allLogits: true).to(ScalarType.Float64), 1);
        var nats = Enumerable.Range(1, ids.Length - 1).ToDictionary(at => at, at => -logs[at - 1, ids[at]].item<double>());
        result.All.Tokens.ShouldBe(ids.Length - 70);
        result.All.Nats.ShouldBe(nats.Where(n => n.Key >= 70).Sum(n => n.Value), 0.01);
        result.Written.Tokens.ShouldBe(10);
        result.Written.Nats.ShouldBe(Enumerable.Range(100, 10).Sum(at => nats[at]), 0.001);
        result.ByPosition.Sum(p => p.Nats).ShouldBe(result.All.Nats, 1e-6);
        result.ByPosition[0].Tokens.ShouldBe(0); // positions below 64 are only context
        result.ByPosition[1].Tokens.ShouldBe(58);
        result.AverageBits.ShouldBe(16);
    }

    private static PerplexityResult Result(string text, double nats, int tokens) => new("s", text, 16, 16, new(nats, tokens), default, 0, []);
}
