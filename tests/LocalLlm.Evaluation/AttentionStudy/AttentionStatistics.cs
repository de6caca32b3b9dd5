using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>Figures of attention probabilities and keys.</summary>
internal static class AttentionStatistics
{
    /// <summary>A token with more than this share of a query's attention is a spike.</summary>
    public const double SpikeShare = 0.01;

    private const int CoverageQueries = 16;

    /// <summary>All figures of a recording but the errors of methods.</summary>
    /// <param name="recording">The recording.</param>
    /// <param name="window">W of LogQuant, which decides how many tokens the selections keep.</param>
    /// <param name="cancellationToken">Ends the work between two heads.</param>
    public static AttentionResult Of(AttentionRecording recording, int window, CancellationToken cancellationToken)
    {
        using var noGradient = no_grad();
        var tokens = recording.Tokens;
        var octaves = new OctaveSums(tokens, recording.Layers.Count);
        var heads = new List<HeadReach>();
        var coverages = new Dictionary<(string, int), (double Sum, int Count, long Kept)>();
        var lengths = Lengths(tokens, window).ToArray();
        for (var layer = 0; layer < recording.Layers.Count; layer++)
        {
            for (var head = 0; head < recording.Layers[layer].Queries.shape[1]; head++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                using var scope = NewDisposeScope();
                var attention = Probabilities(recording.Layers[layer], head);
                octaves.Add(attention, layer);
                heads.Add(Reach(attention, layer, head));
                foreach (var length in lengths)
                    AddCoverages(attention, length, window, coverages, new Random(layer + (97 * head)));
            }
        }

        return new(
            tokens, octaves.ToResults(), octaves.SpikesByLayer(), heads,
            [.. coverages.Select(c => Mean(c.Key.Item1, c.Key.Item2, c.Value))],
            [.. recording.Layers.Select((l, i) => Kurtosis(l.Keys, i))]);

        static CoverageResult Mean(string selection, int length, (double Sum, int Count, long Kept) of) =>
            new(selection, length, (int)(of.Kept / of.Count), of.Sum / of.Count);
    }

    /// <summary>softmax(scale·QKᵀ) of one query head under the causal mask: [T, T] float32.</summary>
    public static Tensor Probabilities(RecordedLayer layer, int head)
    {
        using var scope = NewDisposeScope();
        var tokens = layer.Queries.shape[0];
        var group = layer.Queries.shape[1] / layer.Keys.shape[1];
        var q = layer.Queries.select(1, head).to(ScalarType.Float32).mul(layer.Scale);
        var k = layer.Keys.select(1, head / group).to(ScalarType.Float32);
        var scores = q.matmul(k.t());
        var hidden = ones(tokens, tokens, ScalarType.Bool).triu(1);
        if (layer.SlidingWindow is { } window)
            hidden = hidden.logical_or(ones(tokens, tokens, ScalarType.Bool).tril(-window));
        return scores.masked_fill_(hidden, double.NegativeInfinity).softmax(-1).MoveToOuterDisposeScope();
    }

    /// <summary>Kurtosis of a layer's keys [T, H, D].</summary>
    public static KeyKurtosis Kurtosis(Tensor keys, int layer)
    {
        using var scope = NewDisposeScope();
        var numbers = keys.to(ScalarType.Float64);
        var channels = Of(numbers, [0]); // [H, D]
        channels = channels.masked_select(channels.isfinite()); // a channel that never changes has none
        return new(layer, Of(numbers, [0, 2]).mean().ToDouble(), channels.mean().ToDouble(), channels.max().ToDouble());

        static Tensor Of(Tensor x, long[] over)
        {
            var centred = x - x.mean(over, keepdim: true);
            return centred.pow(4).mean(over) / centred.square().mean(over).square();
        }
    }

    // From 8W on: KIVI's residual, of up to twice the tokens that LogQuant keeps, is then shorter than the context.
    private static IEnumerable<int> Lengths(int tokens, int window)
    {
        for (var length = 8 * window; length + CoverageQueries <= tokens; length *= 2)
            yield return length;
        yield return tokens - CoverageQueries;
    }

    private static HeadReach Reach(Tensor attention, int layer, int head)
    {
        var byDistance = OctaveSums.MassByDistance(attention);
        var mean = byDistance.Select((share, distance) => share * distance).Sum();
        var (sum, within) = (0.0, 0);
        while (within < byDistance.Length - 1 && (sum += byDistance[within]) < 0.95)
            within++;
        return new(layer, head, mean, within);
    }

    private static void AddCoverages(
        Tensor attention, int length, int window, Dictionary<(string, int), (double Sum, int Count, long Kept)> coverages, Random random)
    {
        using var scope = NewDisposeScope();
        var accumulated = attention.narrow(0, 0, length).narrow(1, 0, length).sum([0L]).data<float>().ToArray();
        // The queries after the length see what is kept of it, and themselves.
        var queries = attention.narrow(0, length, CoverageQueries);
        var fresh = queries.narrow(1, length, CoverageQueries).sum([1L]);
        var old = queries.narrow(1, 0, length);
        var budget = 0;
        foreach (var (name, kept) in Selections.Of(length, window, accumulated, random))
        {
            budget = name == Selections.Names[0] ? kept.Length : budget;
            var share = kept.Length == 0 ? fresh : fresh + old.index_select(1, tensor(Array.ConvertAll(kept, i => (long)i))).sum([1L]);
            Add(name, kept.Length, share.mean().ToDouble());
        }

        var (phases, kiviKept) = KiviShare(old, budget);
        Add(Selections.Kivi, kiviKept, fresh.mean().ToDouble() + phases);
        Add(Selections.Names[^1], budget, (fresh + old.topk(budget, 1).values.sum([1L])).mean().ToDouble());

        void Add(string name, int kept, double share)
        {
            var (sum, count, tokens) = coverages.GetValueOrDefault((name, length));
            coverages[(name, length)] = (sum + share, count + 1, tokens + kept);
        }
    }

    /// <summary>
    /// The share of the attention that KIVI's residual gets, mean over the queries and over its phases: the last 0, 1, … 2·budget tokens,
    /// each as often, which are the budget on average.
    /// </summary>
    /// <param name="attention">Of each query to the tokens so far: [n, T].</param>
    /// <param name="budget">Tokens kept on average.</param>
    /// <returns>The share, and the tokens kept on average: fewer than the budget where there are not twice as many.</returns>
    public static (double Share, int Kept) KiviShare(Tensor attention, int budget)
    {
        using var scope = NewDisposeScope();
        var tokens = attention.shape[1];
        var most = (int)Math.Min(2 * budget, tokens);
        var byPhase = attention.narrow(1, tokens - most, most).mean([0L], type: ScalarType.Float64).flip(0).cumsum(0);
        return (byPhase.sum().ToDouble() / (most + 1), most / 2);
    }
}
