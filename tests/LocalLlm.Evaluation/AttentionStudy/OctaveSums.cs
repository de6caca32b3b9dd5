using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>
/// Sums over heads by octaves of distance, of the queries of the text's second half. Octaves that reach farther than all of these queries
/// can look are left out: in a part of an octave there are fewer spikes because there are fewer tokens.
/// </summary>
internal sealed class OctaveSums
{
    private const int Samples = 4096;

    private readonly int tokens;
    private readonly int octaves;
    private readonly double[] mass;
    private readonly float[] most;
    private readonly double[][] spikes; // by layer
    private readonly int[] layerHeads;
    private readonly List<float>[] samples;

    /// <summary>Sums for texts of a length.</summary>
    public OctaveSums(int tokens, int layers)
    {
        this.tokens = tokens;
        octaves = OctaveOf((tokens / 2) + 1); // every query looks tokens / 2 back
        (mass, most, layerHeads) = (new double[octaves], new float[octaves], new int[layers]);
        spikes = [.. Enumerable.Range(0, layers).Select(_ => new double[octaves])];
        samples = [.. Enumerable.Range(0, octaves).Select(_ => new List<float>())];
    }

    private int Heads => layerHeads.Sum();

    /// <summary>Share of the attention of the second half's queries at each distance.</summary>
    public static double[] MassByDistance(Tensor attention)
    {
        var length = (int)attention.shape[0];
        var half = length / 2;
        var sums = new double[length];
        for (var query = half; query < length; query++)
        {
            using var scope = NewDisposeScope();
            var row = attention[query].data<float>().ToArray();
            for (var key = 0; key <= query; key++)
                sums[query - key] += row[key];
        }

        return [.. sums.Select(s => s / (length - half))];
    }

    /// <summary>Adds a head's probabilities, [T, T].</summary>
    public void Add(Tensor attention, int layer)
    {
        layerHeads[layer]++;
        var heads = Heads;
        var random = new Random(heads);
        var farthest = End(octaves - 1) - 1;
        for (var query = tokens / 2; query < tokens; query++)
        {
            using var scope = NewDisposeScope();
            var row = attention[query].data<float>().ToArray();
            for (var distance = 0; distance <= farthest; distance++)
            {
                var (octave, p) = (OctaveOf(distance), row[query - distance]);
                mass[octave] += p;
                spikes[layer][octave] += p > AttentionStatistics.SpikeShare ? 1 : 0;
                most[octave] = Math.Max(most[octave], p);
            }

            // A sample of a few tokens of each octave for the quartiles.
            for (var octave = 0; octave < octaves; octave++)
            {
                if (samples[octave].Count < heads * Samples)
                    samples[octave].Add(row[query - random.Next(octave == 0 ? 0 : End(octave - 1), End(octave))]);
            }
        }
    }

    /// <summary>The figures of each octave, all layers together.</summary>
    public IReadOnlyList<OctaveResult> ToResults()
    {
        var queries = (double)Heads * (tokens - (tokens / 2));
        return [.. Enumerable.Range(0, octaves).Select(Result)];

        OctaveResult Result(int octave)
        {
            var sample = samples[octave];
            sample.Sort();
            return new(
                spikes.Sum(s => s[octave]) / queries, mass[octave] / queries,
                At(sample, 0.25), At(sample, 0.5), At(sample, 0.75), most[octave]);
        }
    }

    /// <summary>Spikes a query and head, by layer and octave.</summary>
    public IReadOnlyList<IReadOnlyList<double>> SpikesByLayer() =>
        [.. spikes.Select((of, layer) => (double[])[.. of.Select(s => s / ((double)layerHeads[layer] * (tokens - (tokens / 2))))])];

    private static int OctaveOf(int distance) => distance == 0 ? 0 : (int)Math.Log2(distance) + 1;

    // The distance after an octave's last.
    private static int End(int octave) => 1 << octave;

    private static double At(List<float> ascending, double share) =>
        ascending.Count == 0 ? double.NaN : ascending[(int)(share * (ascending.Count - 1))];
}
