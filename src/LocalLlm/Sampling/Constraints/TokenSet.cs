using System.Numerics;

namespace LocalLlm.Sampling.Constraints;

/// <summary>A set of tokens that grows, for one mask after the other.</summary>
internal sealed class TokenSet(int logitCount)
{
    private readonly ulong[] words = new ulong[(logitCount + 63) / 64];

    /// <summary>Whether it holds nothing.</summary>
    public bool IsEmpty => !words.AsSpan().ContainsAnyExcept(0ul);

    /// <summary>Empties the set.</summary>
    public void Clear() => Array.Clear(words);

    /// <summary>Adds a token.</summary>
    public void Add(int id) => words[id >> 6] |= 1ul << id;

    /// <summary>Adds tokens.</summary>
    public void Add(ReadOnlySpan<int> ids)
    {
        foreach (var id in ids)
            Add(id);
    }

    /// <summary>Adds the tokens of a set in words of 64.</summary>
    public void Add(ReadOnlySpan<ulong> other)
    {
        var span = words.AsSpan();
        var i = 0;
        if (Vector.IsHardwareAccelerated)
        {
            for (; i + Vector<ulong>.Count <= span.Length; i += Vector<ulong>.Count)
                (new Vector<ulong>(span[i..]) | new Vector<ulong>(other[i..])).CopyTo(span[i..]);
        }

        for (; i < span.Length; i++)
            span[i] |= other[i];
    }

    /// <summary>Whether a token is in the set.</summary>
    public bool Contains(int id) => (words[id >> 6] >> id & 1) != 0;

    /// <summary>The tokens as an array where they are few, else null.</summary>
    public int[]? ToArray(int most)
    {
        var count = 0;
        foreach (var word in words)
        {
            count += BitOperations.PopCount(word);
            if (count > most)
                return null;
        }

        var ids = new int[count];
        var at = 0;
        for (var i = 0; i < words.Length; i++)
        {
            for (var rest = words[i]; rest != 0; rest &= rest - 1)
                ids[at++] = (i << 6) + BitOperations.TrailingZeroCount(rest);
        }

        return ids;
    }

    /// <summary>The tokens in words of 64.</summary>
    public ulong[] ToWords() => [.. words];

    /// <summary>Sets the logits of all other tokens to negative infinity.</summary>
    /// <param name="logits">[vocabulary].</param>
    public void Mask(Span<float> logits)
    {
        for (var i = 0; i < words.Length; i++)
        {
            var part = logits[(i << 6)..Math.Min(logits.Length, (i + 1) << 6)];
            if (words[i] == 0)
            {
                part.Fill(float.NegativeInfinity);
                continue;
            }

            for (var missing = ~words[i]; missing != 0; missing &= missing - 1)
            {
                if (BitOperations.TrailingZeroCount(missing) is var bit && bit < part.Length)
                    part[bit] = float.NegativeInfinity;
            }
        }
    }
}
