using System.Buffers;
using System.Numerics;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>The tokens that can come next: a list where they are few, a bit for each id where they are many. Immutable.</summary>
internal sealed class TokenMask
{
    private readonly int[]? ids;
    private readonly ulong[]? bits;

    /// <param name="bits">A bit for each id; kept only where many are set.</param>
    public TokenMask(ReadOnlySpan<ulong> bits)
    {
        foreach (var word in bits)
            Count += BitOperations.PopCount(word);
        if (Count > bits.Length)
        {
            this.bits = bits.ToArray();
            return;
        }

        ids = new int[Count];
        var next = 0;
        for (var i = 0; i < bits.Length; i++)
        {
            for (var word = bits[i]; word != 0; word &= word - 1)
                ids[next++] = 64 * i + BitOperations.TrailingZeroCount(word);
        }
    }

    /// <summary>How many tokens can come next.</summary>
    public int Count { get; }

    /// <summary>Bytes that it holds.</summary>
    public long Bytes => sizeof(int) * (ids?.Length ?? 0) + sizeof(ulong) * (bits?.Length ?? 0);

    /// <summary>Sets all other logits to negative infinity.</summary>
    public void Apply(Span<float> logits)
    {
        if (bits is not null)
            ApplyBits(logits);
        else
            ApplyIds(logits);
    }

    private void ApplyBits(Span<float> logits)
    {
        for (var i = 0; i < bits!.Length; i++)
        {
            if (bits[i] == ulong.MaxValue)
                continue;
            var part = logits.Slice(64 * i, Math.Min(64, logits.Length - 64 * i));
            if (bits[i] == 0)
            {
                part.Fill(float.NegativeInfinity);
                continue;
            }

            for (var word = ~bits[i]; word != 0; word &= word - 1)
            {
                var bit = BitOperations.TrailingZeroCount(word);
                if (bit >= part.Length)
                    break;
                part[bit] = float.NegativeInfinity;
            }
        }
    }

    private void ApplyIds(Span<float> logits)
    {
        var kept = ArrayPool<float>.Shared.Rent(Count);
        for (var i = 0; i < Count; i++)
            kept[i] = logits[ids![i]];
        logits.Fill(float.NegativeInfinity);
        for (var i = 0; i < Count; i++)
            logits[ids![i]] = kept[i];
        ArrayPool<float>.Shared.Return(kept);
    }
}
