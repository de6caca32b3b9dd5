using System.Text;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A vocabulary's text tokens in two tries. Plain tokens, the greater part, are made of whole characters other than controls, quotation mark and
/// backslash: where a grammar takes any such characters, as JSON strings do, ready sets of tokens stand in for a walk over them.
/// </summary>
internal sealed class TokenTries
{
    private readonly int[][] plainByLength;
    private readonly ulong[]?[] plainUpTo;
    private readonly int words;

    public TokenTries(IEnumerable<(int Id, ReadOnlyMemory<byte> Bytes)> tokens, int logitCount)
    {
        var (plain, rest, lengths) = (new List<(int, ReadOnlyMemory<byte>)>(), new List<(int, ReadOnlyMemory<byte>)>(), new List<(int Id, int Length)>());
        foreach (var (id, bytes) in tokens)
        {
            if (PlainLength(bytes.Span) is > 0 and var length)
            {
                plain.Add((id, bytes));
                lengths.Add((id, length));
            }
            else
                rest.Add((id, bytes));
        }

        (Plain, Rest, words) = (TokenTrie.Create(plain), TokenTrie.Create(rest), (logitCount + 63) / 64);
        var byLength = lengths.ToLookup(t => t.Length, t => t.Id);
        MaxPlainLength = lengths.Count == 0 ? 0 : lengths.Max(t => t.Length);
        plainByLength = [.. Enumerable.Range(0, MaxPlainLength + 1).Select(n => byLength[n].ToArray())];
        plainUpTo = new ulong[MaxPlainLength + 1][];
    }

    /// <summary>Tokens of plain characters only.</summary>
    public TokenTrie Plain { get; }

    /// <summary>All other tokens.</summary>
    public TokenTrie Rest { get; }

    /// <summary>The longest plain token's characters.</summary>
    public int MaxPlainLength { get; }

    /// <summary>The set of plain tokens of at most so many characters, a bit for each id.</summary>
    public ReadOnlySpan<ulong> PlainUpTo(int length)
    {
        length = Math.Min(length, MaxPlainLength);
        // Two threads may both make it; the sets are equal.
        return plainUpTo[length] ??= Make(length);
    }

    /// <summary>The characters of a plain text; 0 for any other, or none.</summary>
    private static int PlainLength(ReadOnlySpan<byte> bytes)
    {
        var count = 0;
        for (; bytes.Length > 0; count++)
        {
            if (Rune.DecodeFromUtf8(bytes, out var rune, out var consumed) != System.Buffers.OperationStatus.Done || !IsPlain(rune.Value))
                return 0;
            bytes = bytes[consumed..];
        }

        return count;
    }

    private static bool IsPlain(int rune) => rune >= 0x20 && rune != '"' && rune != '\\';

    private ulong[] Make(int length)
    {
        var set = new ulong[words];
        for (var n = 1; n <= length; n++)
        {
            foreach (var id in plainByLength[n])
                set[id >> 6] |= 1ul << id;
        }

        return set;
    }
}
