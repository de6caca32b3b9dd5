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
        var octaves = new OctaveSums(tokens);
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
                octaves.Add(attention);
                heads.Add(Reach(attention, layer, head));
                foreach (var length in lengths)
                    AddCoverages(attention, length, window, coverages, new Random(layer + (97 * head)));
            }
        }

        return new(tokens, octaves.ToResults(), heads,
            [.. coverages.Select(c => new CoverageResult(c.Key.Item1, c.Key.Item2, (int)(c.Value.Kept / c.Value.Count), c.Value.Sum / c.Value.Count))],
            [.. recording.Layers.Select((l, i) => Kurtosis(l.Keys, i))]);
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

    private static IEnumerable<int> Lengths(int tokens, int window)
    {
        for (var length = 4 * window; length + CoverageQueries <= tokens; length *= 2)
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

        Add(Selections.Names[^1], budget, (fresh + old.topk(budget, 1).values.sum([1L])).mean().ToDouble());

        void Add(string name, int kept, double share)
        {
            var (sum, count, tokens) = coverages.GetValueOrDefault((name, length));
            coverages[(name, length)] = (sum + share, count + 1, tokens + kept);
        }
    }

    /// <summary>Sums over heads by octaves of distance, of the queries of the text's second half.</summary>
    private sealed class OctaveSums(int tokens)
    {
        private const int Samples = 4096;

        private readonly int octaves = OctaveOf(tokens / 2) + 1;
        private readonly List<float>[] samples = [.. Enumerable.Range(0, OctaveOf(tokens / 2) + 1).Select(_ => new List<float>())];
        private readonly double[] spikes = new double[OctaveOf(tokens / 2) + 1], mass = new double[OctaveOf(tokens / 2) + 1];
        private readonly float[] most = new float[OctaveOf(tokens / 2) + 1];
        private int heads;

        private static int OctaveOf(int distance) => distance == 0 ? 0 : (int)Math.Log2(distance) + 1;

        /// <summary>Share of the attention of the second half's queries at each distance.</summary>
        public static double[] MassByDistance(Tensor attention)
        {
            var length = (int)attention.shape[0];
            var half = length / 2;
            var sums = new double[length];
            for (var query = half; query < length; query++)
            {
                var row = attention[query].data<float>();
                for (var key = 0; key <= query; key++)
                    sums[query - key] += row[key];
            }

            return [.. sums.Select(s => s / (length - half))];
        }

        public void Add(Tensor attention)
        {
            heads++;
            var random = new Random(heads);
            var (length, half) = ((int)attention.shape[0], (int)attention.shape[0] / 2);
            for (var query = half; query < length; query++)
            {
                using var scope = NewDisposeScope();
                var row = attention[query].data<float>().ToArray();
                for (var key = query - half; key <= query; key++)
                {
                    var (octave, p) = (OctaveOf(query - key), row[key]);
                    mass[octave] += p;
                    spikes[octave] += p > SpikeShare ? 1 : 0;
                    most[octave] = Math.Max(most[octave], p);
                }

                // A sample of a few tokens of each octave for the quartiles.
                for (var octave = 0; octave < octaves; octave++)
                {
                    var (least, end) = octave == 0 ? (0, 1) : (1 << (octave - 1), Math.Min(1 << octave, half + 1));
                    if (samples[octave].Count < heads * Samples && least < end)
                        samples[octave].Add(row[query - random.Next(least, end)]);
                }
            }
        }

        public IReadOnlyList<OctaveResult> ToResults()
        {
            var queries = (double)heads * (tokens - (tokens / 2));
            return
            [
                .. Enumerable.Range(0, octaves).Select(o =>
                {
                    samples[o].Sort();
                    return new OctaveResult(spikes[o] / queries, mass[o] / queries, At(samples[o], 0.25), At(samples[o], 0.5), At(samples[o], 0.75), most[o]);
                }),
            ];
        }

        private static double At(List<float> ascending, double share) => ascending.Count == 0 ? double.NaN : ascending[(int)(share * (ascending.Count - 1))];
    }
}
