namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// Tokens by their bytes, as a tree in depth-first order, so that a subtree is a range and skipping it is a jump. Node 0 is the root. Immutable.
/// </summary>
internal sealed class TokenTrie
{
    private readonly byte[] bytes;
    private readonly int[] ends;
    private readonly int[] firstTokens; // index into tokens
    private readonly int[] tokens;

    private TokenTrie(byte[] bytes, int[] ends, int[] firstTokens, int[] tokens, int maxDepth) =>
        (this.bytes, this.ends, this.firstTokens, this.tokens, MaxDepth) = (bytes, ends, firstTokens, tokens, maxDepth);

    /// <summary>Nodes, the root included.</summary>
    public int Count => bytes.Length;

    /// <summary>Bytes of the longest token.</summary>
    public int MaxDepth { get; }

    /// <summary>The byte that leads to a node from its parent; undefined for the root.</summary>
    public byte Byte(int node) => bytes[node];

    /// <summary>The first node after a node's subtree. A node's children begin behind it; the next child begins where the one before ends.</summary>
    public int End(int node) => ends[node];

    /// <summary>The tokens whose bytes end at a node.</summary>
    public ReadOnlySpan<int> Tokens(int node) => tokens.AsSpan(firstTokens[node]..firstTokens[node + 1]);

    /// <summary>Builds a trie.</summary>
    /// <param name="tokens">Ids and their bytes; those without bytes are left out.</param>
    public static TokenTrie Build(IEnumerable<(int Id, ReadOnlyMemory<byte> Bytes)> tokens)
    {
        var sorted = tokens.Where(t => t.Bytes.Length > 0).ToArray();
        Array.Sort(sorted, (a, b) => a.Bytes.Span.SequenceCompareTo(b.Bytes.Span) is var order && order != 0 ? order : a.Id.CompareTo(b.Id));
        var (bytes, ends, firsts, ids) = (new List<byte> { 0 }, new List<int> { 0 }, new List<int> { 0 }, new List<int>());
        var path = new Stack<int>([0]); // the nodes from the root to the last token
        var previous = ReadOnlyMemory<byte>.Empty;
        var maxDepth = 0;
        foreach (var (id, token) in sorted)
        {
            var common = previous.Span.CommonPrefixLength(token.Span);
            while (path.Count - 1 > common)
                ends[path.Pop()] = bytes.Count;
            for (var depth = common; depth < token.Length; depth++)
            {
                path.Push(bytes.Count);
                bytes.Add(token.Span[depth]);
                ends.Add(0);
                firsts.Add(ids.Count);
            }

            ids.Add(id); // equal bytes come one after the other, at the node that is the last so far
            (previous, maxDepth) = (token, Math.Max(maxDepth, token.Length));
        }

        foreach (var node in path)
            ends[node] = bytes.Count;
        firsts.Add(ids.Count);
        return new TokenTrie([.. bytes], [.. ends], [.. firsts], [.. ids], maxDepth);
    }
}
