using LocalLlm.Loading;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Models;

/// <summary>
/// Gives a model the outlier channels that keys of large models have: some channels of the keys are scaled up, the matching channels of the
/// queries down by the same power of two, and both channels of a rotation pair together, so that every score stays what it was. Powers of
/// two change no rounding, so the full-precision model computes the same bits.
/// </summary>
internal static class StressModel
{
    /// <summary>What a stress variant's fingerprint ends with; changes with what the variant does.</summary>
    public const string FingerprintSuffix = "-stress1";

    // Of the slower half of a head's rotation pairs, where large models have their outliers: fast ones average out over the positions.
    private static readonly (double PairShare, float Factor)[] Outliers = [(0.60, 16), (0.85, 8)];

    /// <summary>Scales the weights of a loaded model in place.</summary>
    public static void Apply(DecoderModel model)
    {
        using var noGradient = no_grad();
        var config = model.Config;
        for (var layer = 0; layer < config.Layers; layer++)
        {
            using var scope = NewDisposeScope();
            var weights = model.Layers[layer];
            // A norm's weights are the same for all heads and come after what would undo a scaled projection.
            if (weights is { QueryNorm: { } queryNorm, KeyNorm: { } keyNorm })
            {
                var factors = tensor(Factors(config, layer, 0));
                keyNorm.mul_(factors.to(keyNorm.dtype));
                queryNorm.div_(factors.to(queryNorm.dtype));
                continue;
            }

            var rows = tensor(RowFactors(config, layer)).to(weights.Qkv.dtype);
            weights.Qkv.mul_(rows.unsqueeze(1));
            weights.QkvBias?.mul_(rows);
        }
    }

    /// <summary>Factors of the channels of a KV head's keys: 1, or a power of two for both channels of a pair.</summary>
    public static float[] Factors(ModelConfig config, int layer, int kvHead)
    {
        var factors = new float[config.HeadDim];
        Array.Fill(factors, 1);
        var pairs = config.Rope.RotaryDim / 2;
        foreach (var (share, factor) in Outliers)
        {
            // Other channels in other layers and heads.
            var pair = ((int)(share * pairs) + layer + (2 * kvHead)) % pairs;
            factors[pair] = factors[pair + pairs] = factor;
        }

        return factors;
    }

    // Of the rows of the stacked projection: query heads of a group share their KV head's factors, values keep theirs.
    private static float[] RowFactors(ModelConfig config, int layer)
    {
        var group = config.QueryHeads / config.KvHeads;
        var queries = Enumerable.Range(0, config.QueryHeads).SelectMany(head => Factors(config, layer, head / group).Select(f => 1 / f));
        var keys = Enumerable.Range(0, config.KvHeads).SelectMany(head => Factors(config, layer, head));
        return [.. queries, .. keys, .. Enumerable.Repeat(1f, config.KvHeads * config.HeadDim)];
    }
}
