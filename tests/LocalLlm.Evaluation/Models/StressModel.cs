using LocalLlm.Models;

namespace LocalLlm.Evaluation.Models;

/// <summary>
/// Gives a model the outlier channels that keys of large models have: some channels of the keys are scaled up, the matching channels of the
/// queries down by the same power of two, and both channels of a rotation pair together, so that every score stays what it was.
/// </summary>
internal static class StressModel
{
    /// <summary>What a stress variant's fingerprint ends with; changes with what the variant does.</summary>
    public const string FingerprintSuffix = "-stress1";

    /// <summary>Scales the weights of a loaded model in place.</summary>
    public static void Apply(DecoderModel model) => throw new NotImplementedException(model.Config.Architecture.Name);
}
