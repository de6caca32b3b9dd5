using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>What a model fixes about its KV cache.</summary>
/// <param name="Layers">Number of layers.</param>
/// <param name="KvHeads">Hkv: KV heads of a layer.</param>
/// <param name="HeadDim">D: channels of a head.</param>
/// <param name="Type">The compute type, in which rows are held: float32, bfloat16 or float16.</param>
/// <param name="Device">Where the tensors live.</param>
/// <param name="Bits">What was measured of its layers; null where nothing was.</param>
internal sealed record KvShape(int Layers, int KvHeads, int HeadDim, ScalarType Type, Device Device, CacheBitsConfig? Bits = null)
{
    /// <summary>Bytes of an element of <see cref="Type"/>.</summary>
    public int ElementBytes => Type == ScalarType.Float32 ? 4 : 2;

    /// <summary>Bytes of one token's keys and values, all layers, in <see cref="Type"/>.</summary>
    public long TokenBytes => 2L * Layers * KvHeads * HeadDim * ElementBytes;

    /// <summary>Bytes of one token's keys and values, all layers, in an uncompressed fp16 cache.</summary>
    public long TokenBytesFp16 => 2L * Layers * KvHeads * HeadDim * 2;

    /// <summary>All that is wrong with the shape; empty if nothing.</summary>
    public IEnumerable<string> Errors()
    {
        if (Layers < 1)
            yield return $"the KV cache needs at least 1 layer, got {Layers}";
        if (KvHeads < 1)
            yield return $"the KV cache needs at least 1 KV head, got {KvHeads}";
        if (HeadDim is < 8 or > 256 || HeadDim % 8 != 0)
            yield return $"head_dim must be a multiple of 8 from 8 to 256, got {HeadDim}";
        if (Type is not (ScalarType.Float32 or ScalarType.BFloat16 or ScalarType.Float16))
            yield return $"the KV cache holds float32, bfloat16 or float16, got {Type}";
    }
}
