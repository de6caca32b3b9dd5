using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>Chooses the torch type in which weights are held and multiplied.</summary>
internal static class WeightTypes
{
    /// <summary>Models of at least this many parameters keep bfloat16 on a CPU, where float32 would double their memory.</summary>
    public const long LargeModelParameters = 1_000_000_000;

    /// <summary>The type for an option and a checkpoint.</summary>
    /// <param name="requested">The option.</param>
    /// <param name="device">Where the model runs.</param>
    /// <param name="stored">The tensors that are read.</param>
    /// <remarks>
    /// Auto on a GPU is float16 where that is what most of the checkpoint's bytes are, else bfloat16, the types of its tensor cores. On a CPU it is float32 for a float32 or float16 checkpoint (a CPU
    /// multiplies float16 slowly) and for a model of less than <see cref="LargeModelParameters"/>, else bfloat16.
    /// </remarks>
    public static ScalarType Choose(WeightType requested, Device device, IReadOnlyCollection<StoredTensor> stored)
    {
        switch (requested)
        {
            case WeightType.Float32: return ScalarType.Float32;
            case WeightType.BFloat16: return ScalarType.BFloat16;
            case WeightType.Float16: return ScalarType.Float16;
            case WeightType.Auto: break;
            default: throw new ArgumentOutOfRangeException(nameof(requested), requested, "No such weight type.");
        }

        var main = stored.GroupBy(t => t.Type!.Value).MaxBy(g => g.Sum(t => t.ByteCount))!.Key;
        if (device.type != TorchSharp.DeviceType.CPU)
            return main == ScalarType.Float16 ? ScalarType.Float16 : ScalarType.BFloat16;
        return main == ScalarType.BFloat16 && stored.Sum(t => t.ElementCount) >= LargeModelParameters ? ScalarType.BFloat16 : ScalarType.Float32;
    }
}
