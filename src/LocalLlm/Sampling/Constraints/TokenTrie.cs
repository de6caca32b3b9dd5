namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// Tokens by their bytes, as a trie laid out in depth-first order: a walk goes through arrays from left to right, and to prune a subtree is to jump
/// to its end. Immutable.
/// </summary>
internal sealed class TokenTrie
{
    private TokenTrie(byte[] bytes, int[] depths, int[] ends, int[] tokenStarts, int[] tokenIds, int[] rootTokens) =>
        (Bytes, Depths, Ends, TokenStarts, TokenIds, RootTokens) = (bytes, depths, ends, tokenStarts, tokenIds, rootTokens);

    /// <summary>[nodes] The byte that leads to a node.</summary>
    public byte[] Bytes { get; }

    /// <summary>[nodes] Bytes from the root to a node, at least 1.</summary>
    public int[] Depths { get; }

    /// <summary>[nodes] The node after a node's last descendant.</summary>
    public int[] Ends { get; }

    /// <summary>[nodes + 1] Where a node's tokens begin in <see cref="TokenIds"/>; they end where the next node's begin.</summary>
    public int[] TokenStarts { get; }

    /// <summary>The tokens, by their nodes.</summary>
    public int[] TokenIds { get; }

    /// <summary>Tokens that add nothing to the text: a first token that decoding strips wholly.</summary>
    public int[] RootTokens { get; }

    /// <summary>Nodes without the root.</summary>
    public int Count => Bytes.Length;

    /// <summary>The longest token's bytes.</summary>
    public int MaxDepth { get; private init; }

    /// <param name="tokens">Ids and bytes; several tokens may have the same.</param>
    public static TokenTrie Create(IEnumerable<(int Id, ReadOnlyMemory<byte> Bytes)> tokens)
    {
        var sorted = tokens.ToArray();
        Array.Sort(sorted, (a, b) => a.Bytes.Span.SequenceCompareTo(b.Bytes.Span) is var order and not 0 ? order : a.Id.CompareTo(b.Id));
        var (bytes, depths, ends, starts) = (new List<byte>(), new List<int>(), new List<int>(), new List<int>());
        var (ids, root, open) = (new List<int>(), new List<int>(), new Stack<int>());
        ReadOnlyMemory<byte> before = default;
        foreach (var (id, token) in sorted)
        {
            if (token.IsEmpty)
            {
                root.Add(id);
                continue;
            }

            var shared = token.Span.CommonPrefixLength(before.Span);
            while (open.Count > shared)
                ends[open.Pop()] = bytes.Count;
            for (var i = shared; i < token.Length; i++)
            {
                open.Push(bytes.Count);
                bytes.Add(token.Span[i]);
                depths.Add(i + 1);
                ends.Add(0);
                starts.Add(ids.Count);
            }

            ids.Add(id);
            before = token;
        }

        while (open.Count > 0)
            ends[open.Pop()] = bytes.Count;
        starts.Add(ids.Count);
        return new TokenTrie([.. bytes], [.. depths], [.. ends], [.. starts], [.. ids], [.. root]) { MaxDepth = depths.Count == 0 ? 0 : depths.Max() };
    }
}
