using LocalLlm.Evaluation.AttentionStudy;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Evaluation.AttentionStudy;

public sealed class AttentionStudyTests
{
    private const int W = 64;

    public AttentionStudyTests() => LibTorch.EnsureLoaded();

    [Fact]
    public void HeavyHitters_RandomAttention_HalfRecentHalfTheMostAccumulated()
    {
        var random = new Random(5);
        for (var round = 0; round < 50; round++)
        {
            var length = random.Next(20, 60);
            var accumulated = Enumerable.Range(0, length).Select(_ => random.NextSingle()).ToArray();

            var kept = Selections.HeavyHitters(length, 11, accumulated);

            kept.Length.ShouldBe(11);
            kept.ShouldBeUnique();
            kept.ShouldBeSubsetOf(Enumerable.Range(0, length));
            Enumerable.Range(length - 5, 5).ShouldBeSubsetOf(kept);
            var heavy = kept.Where(i => i < length - 5).ToArray();
            var left = Enumerable.Range(0, length - 5).Except(heavy).ToArray();
            heavy.Min(i => accumulated[i]).ShouldBeGreaterThan(left.Max(i => accumulated[i]));
        }
    }

    [Fact]
    public void Of_EqualBudgets_EverySelectionKeepsAsMany()
    {
        var sets = Selections.Of(1000, W, new float[1000], new Random(1)).ToDictionary(s => s.Name, s => s.Kept);

        var budget = sets["LogQuant"].Length;
        budget.ShouldBeInRange(2 * W, 3 * W);
        foreach (var (name, kept) in sets.Where(s => s.Key != "KIVI"))
        {
            kept.Length.ShouldBe(budget, name);
            kept.ShouldBeUnique();
        }

        sets["Recent"].Order().ShouldBe(Enumerable.Range(1000 - budget, budget));
        sets["Sink + recent"].Order().ShouldBe([0, 1, 2, 3, .. Enumerable.Range(1000 - budget + 4, budget - 4)]);
    }

    [Fact]
    public void Kurtosis_KnownDistributions_IsTheirs()
    {
        using var scope = NewDisposeScope();
        random.manual_seed(3);
        var numbers = cat([randn(20_000, 1, 2), rand(20_000, 1, 2)], 1); // head 0 normal, head 1 uniform

        AttentionStatistics.Kurtosis(numbers.narrow(1, 0, 1), 7).MeanChannel.ShouldBe(3, 0.2);
        AttentionStatistics.Kurtosis(numbers.narrow(1, 1, 1), 7).MeanChannel.ShouldBe(1.8, 0.05);
        AttentionStatistics.Kurtosis(numbers.narrow(1, 1, 1), 7).Numbers.ShouldBe(1.8, 0.05);
    }

    [Fact]
    public void Of_ShippedModel_AgreesWithSumsOverAllPairs()
    {
        using var team = new WorkerTeam(2);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        var ids = Enumerable.Range(0, 600).Select(i => 300 + (i * i % 701)).ToArray();
        using var recording = new AttentionRecording(model, ids, TestContext.Current.CancellationToken);

        var result = AttentionStatistics.Of(recording, W, TestContext.Current.CancellationToken);

        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var (spikes, mass, heads) = (new double[result.Octaves.Count], new double[result.Octaves.Count], 0);
        var (recent, best) = (0.0, 0.0);
        for (var layer = 0; layer < recording.Layers.Count; layer++)
        {
            for (var head = 0; head < recording.Layers[layer].Queries.shape[1]; head++, heads++)
            {
                var attention = AttentionStatistics.Probabilities(recording.Layers[layer], head);
                attention.sum([1L]).sub(1).abs().max().ToDouble().ShouldBeLessThan(1e-4);
                // The probabilities give the outputs that the kernels gave.
                var values = recording.Layers[layer].Values.select(1, head / 2).to(ScalarType.Float32);
                var expected = recording.Layers[layer].Outputs.select(1, head).to(ScalarType.Float32);
                (attention.matmul(values) - expected).abs().max().ToDouble().ShouldBeLessThan(0.01 * expected.abs().max().ToDouble());
                var p = attention.data<float>().ToArray();
                for (var query = 300; query < 600; query++)
                {
                    for (var key = query - 300; key <= query; key++)
                    {
                        var octave = key == query ? 0 : (int)Math.Floor(Math.Log2(query - key)) + 1;
                        mass[octave] += p[(query * 600) + key];
                        spikes[octave] += p[(query * 600) + key] > 0.01 ? 1 : 0;
                    }
                }

                // 512 tokens and 16 queries after them; LogQuant keeps 192 of 512.
                var budget = result.Coverages.First(c => c is { Selection: "Recent", Length: 512 }).Kept;
                for (var query = 512; query < 528; query++)
                {
                    var row = p.AsSpan(query * 600, 600);
                    recent += row[(512 - budget)..528].ToArray().Sum(x => (double)x);
                    best += row[512..528].ToArray().Sum(x => (double)x) + row[..512].ToArray().OrderDescending().Take(budget).Sum(x => (double)x);
                }
            }
        }

        for (var octave = 0; octave < mass.Length; octave++)
        {
            result.Octaves[octave].Mass.ShouldBe(mass[octave] / (300 * heads), 1e-5);
            result.Octaves[octave].Spikes.ShouldBe(spikes[octave] / (300 * heads), 1e-9);
        }

        result.Coverages.Single(c => c is { Selection: "Recent", Length: 512 }).Share.ShouldBe(recent / (16 * heads), 1e-5);
        result.Coverages.Single(c => c is { Selection: "Best possible", Length: 512 }).Share.ShouldBe(best / (16 * heads), 1e-5);
    }

    [Fact]
    public void Replay_Caches_DenseGivesTheOutputsAndPagesNearlyDo()
    {
        using var team = new WorkerTeam(2);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        using var recording = new AttentionRecording(model, [.. Enumerable.Range(0, 500).Select(i => 300 + (i * 7 % 2400))], TestContext.Current.CancellationToken);

        Error("dense").ShouldBe(0);
        var four = Error("4bit");
        four.ShouldBeGreaterThan(0);
        Error("ours").ShouldBeGreaterThan(four);

        double Error(string method)
        {
            using var cache = MethodCatalog.Choose([method])[0].For(model.Shape).Create();
            var sum = 0.0;
            recording.Replay(
                cache,
                (layer, start, output) =>
                {
                    using var scope = NewDisposeScope();
                    sum += (output - recording.Layers[layer].Outputs.narrow(0, start, output.shape[0])).abs().sum().ToDouble();
                },
                TestContext.Current.CancellationToken);
            cache.Length.ShouldBe(500);
            return sum;
        }
    }
}
