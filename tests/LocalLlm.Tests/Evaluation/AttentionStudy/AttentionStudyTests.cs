using LocalLlm.Evaluation.AttentionStudy;
using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
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
        foreach (var (name, kept) in sets)
        {
            kept.Length.ShouldBe(budget, name);
            kept.ShouldBeUnique();
        }

        sets["Recent"].Order().ShouldBe(Enumerable.Range(1000 - budget, budget));
        sets["Sink + recent"].Order().ShouldBe([0, 1, 2, 3, .. Enumerable.Range(1000 - budget + 4, budget - 4)]);
    }

    [Fact]
    public void KiviShare_RandomAttention_IsTheMeanOfLastTokensWithTheBudgetAsMeanSize()
    {
        using var scope = NewDisposeScope();
        random.manual_seed(4);
        var attention = rand(3, 40).softmax(1);
        var numbers = attention.data<float>().ToArray();
        var (sum, sizes) = (0.0, new List<int>());
        for (var size = 0; size <= 22; size++)
        {
            sizes.Add(size);
            for (var query = 0; query < 3; query++)
                sum += numbers[((query * 40) + 40 - size)..((query + 1) * 40)].Sum(x => (double)x);
        }

        var (share, kept) = AttentionStatistics.KiviShare(attention, 11);

        share.ShouldBe(sum / (3 * 23), 1e-6);
        kept.ShouldBe(11);
        sizes.Average().ShouldBe(11);
    }

    [Theory]
    [InlineData(600, 9)] // 300 back: 256–511 is cut off
    [InlineData(1022, 10)] // 511 back
    [InlineData(1020, 9)]
    public void OctaveSums_EvenAttention_HasWholeOctavesOnly(int tokens, int octaves)
    {
        using var scope = NewDisposeScope();
        // As much on every distance: an octave has twice what the one before has, the last one too.
        var sums = new OctaveSums(tokens, 2);
        var even = full(tokens, tokens, 0.02f);

        sums.Add(even, 0);
        sums.Add(even * 0.1, 1);

        var results = sums.ToResults();
        results.Count.ShouldBe(octaves);
        for (var octave = 1; octave < octaves; octave++)
        {
            var distances = Math.Pow(2, octave - 1);
            results[octave].Mass.ShouldBe(0.011 * distances, 1e-4 * distances);
            results[octave].Spikes.ShouldBe(distances / 2); // of one head of two
            sums.SpikesByLayer()[0][octave].ShouldBe(distances);
            sums.SpikesByLayer()[1][octave].ShouldBe(0);
        }
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
                var most = expected.abs().max().ToDouble();
                (attention.matmul(values) - expected).abs().max().ToDouble().ShouldBeLessThan(0.01 * most);
                var p = attention.data<float>().ToArray();
                for (var query = 300; query < 600; query++)
                {
                    for (var key = query - 255; key <= query; key++)
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
                    best += row[512..528].ToArray().Sum(x => (double)x);
                    best += row[..512].ToArray().OrderDescending().Take(budget).Sum(x => (double)x);
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
        using var recording = Record(model);

        Error("dense").ShouldBe(0);
        var four = Error("4bit");
        four.ShouldBeGreaterThan(0);
        Error("ours").ShouldBeGreaterThan(four);

        double Error(string method)
        {
            using var cache = MethodCatalog.Choose([method])[0].For(model.Shape).Create();
            return ErrorOf(recording, cache, model.Shape.Layers);
        }
    }

    [Fact]
    public void Replay_PromptEnds_LeavesTheCacheThatTheDecodePathLeaves()
    {
        using var team = new WorkerTeam(2);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        using var recording = Record(model);
        int[] promptEnds = [40, 300, 430, 600];
        var method = MethodCatalog.Choose(["kivi-hf"])[0];
        var caches = (method with { Options = method.Options with { Window = 256, PageTokens = 64 } }).For(model.Shape);
        using IKvCache told = caches.Create(), untold = caches.Create(), decoded = caches.Create();
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        TeacherForcing.Run(model, decoded, Ids, null, promptEnds, TestContext.Current.CancellationToken);

        var error = ErrorOf(recording, told, model.Shape.Layers, promptEnds);

        error.ShouldNotBe(ErrorOf(recording, untold, model.Shape.Layers));
        told.View(0).RowPositions.ToArray().ShouldBe(decoded.View(0).RowPositions.ToArray());
        told.View(0).RowPositions.ToArray().ShouldNotBe(untold.View(0).RowPositions.ToArray());
        // The first layer gets the same keys whatever the caches are; what the pages hold of them is then the same.
        PageCodes(told).ShouldBe(PageCodes(decoded));

        static byte[] PageCodes(IKvCache cache) => [.. cache.View(0).Pages.SelectMany(p => p.Codes.contiguous().data<byte>().ToArray())];
    }

    [Fact]
    public void SelectionPairs_AnyLength_KeepTheSameTokensQuantisedAndEvicted()
    {
        var policies = SelectionPair.All.ToDictionary(p => p.Method.Id, p => KvCacheFactory.Policy(p.Method.Options)!);
        foreach (var length in Enumerable.Range(1, 1500))
        {
            var logQuant = Kept("logquant-quantised", length);
            Kept("logquant-evicted", length).ShouldBe(logQuant);
            Kept("recent-quantised", length).ShouldBe(Enumerable.Range(length - logQuant.Length, logQuant.Length));
            Kept("recent-evicted", length).ShouldBe(Kept("recent-quantised", length));
        }

        // Over whole phases of both (64 and 320 tokens) KIVI's rows are as many on average.
        var lengths = Enumerable.Range(641, 640).ToArray();
        lengths.Average(l => Kept("kivi-quantised", l).Length).ShouldBe(lengths.Average(l => Kept("logquant-quantised", l).Length));
        foreach (var pair in SelectionPair.All)
            policies[pair.Method.Id].KeepsEvicted.ShouldBe(pair.Method.Id.EndsWith("quantised", StringComparison.Ordinal));

        int[] Kept(string id, int length) => policies[id].RowPositionsAt(length).ToArray();
    }

    [Theory]
    [InlineData("logquant-evicted")]
    [InlineData("recent-evicted")]
    public void SelectionPairs_Evicted_ErrorIsThatOfAttentionOverTheTokensKept(string id)
    {
        using var team = new WorkerTeam(2);
        using var model = EvaluatedModel.Load(new ModelSource("demo", ModelSource.DemoFolder, false), team);
        using var recording = Record(model);
        var method = SelectionPair.All.Single(p => p.Method.Id == id).Method;
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var policy = KvCacheFactory.Policy(method.Options)!;
        var seen = zeros(Ids.Length, Ids.Length);
        for (var query = 0; query < Ids.Length; query++)
            seen[query].index_fill_(0, tensor((long[])[.. policy.RowPositionsAt(query).ToArray().Select(i => (long)i), query]), 1);
        var layer = recording.Layers[0];
        var expected = 0.0;
        for (var head = 0; head < layer.Queries.shape[1]; head++)
        {
            var attention = AttentionStatistics.Probabilities(layer, head) * seen;
            var values = layer.Values.select(1, head / 2).to(ScalarType.Float32);
            var outputs = (attention / attention.sum(1, keepdim: true)).matmul(values);
            expected += (outputs - layer.Outputs.select(1, head).to(ScalarType.Float32)).abs().sum().ToDouble();
        }

        using var cache = method.For(model.Shape).Create();
        ErrorOf(recording, cache, 1).ShouldBe(expected, 0.02 * expected);
    }

    [Fact]
    public void PairRatios_SeveralTexts_AreRatiosOfMeansToTheFirstRow()
    {
        List<(string, OutputErrorResult)> errors =
        [
            ("logquant-quantised", Result(0.1, 0.3)), ("recent-evicted", Result(0.5, 0.7)),
            ("logquant-quantised", Result(0.2, 0.2)), ("recent-evicted", Result(0.2, 0.2)),
        ];

        var rows = AttentionTables.PairRatios(errors);

        rows.Select(r => r.Pair.Method.Label).ShouldBe(["LogQuant, quantised", "Recent, evicted"]);
        rows[0].Ratio.ShouldBe(1);
        rows[1].Error.ShouldBe(0.4, 1e-12);
        rows[1].Ratio.ShouldBe(2, 1e-12);
        rows[1].PaperRatio!.Value.ShouldBe(3.7286, 1e-4);

        static OutputErrorResult Result(params double[] layers) => new(1000, layers, 4, 3);
    }

    private static int[] Ids { get; } = [.. Enumerable.Range(0, 500).Select(i => 300 + (i * 7 % 2400))];

    private static AttentionRecording Record(EvaluatedModel model) => new(model, Ids, TestContext.Current.CancellationToken);

    // L1 norm of the error of the first layers' outputs.
    private static double ErrorOf(AttentionRecording recording, IKvCache cache, int layers, params int[] promptEnds)
    {
        var sum = 0.0;
        recording.Replay(
            cache,
            promptEnds,
            (layer, start, output) =>
            {
                if (layer >= layers)
                    return;
                using var scope = NewDisposeScope();
                var expected = recording.Layers[layer].Outputs.narrow(0, start, output.shape[0]);
                sum += (output - expected).to(ScalarType.Float32).abs().sum().ToDouble();
            },
            TestContext.Current.CancellationToken);
        cache.Length.ShouldBe(500);
        return sum;
    }
}
