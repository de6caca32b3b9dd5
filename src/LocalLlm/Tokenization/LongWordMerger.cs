using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>
/// Merges one long run of characters in n log n time, with the result that Microsoft.ML.Tokenizers' BpeTokenizer gives in quadratic time.
/// </summary>
internal sealed class LongWordMerger
{
    private const int None = -1;

    private readonly Dictionary<int, int> _idByCharacter = [];
    private readonly Dictionary<ulong, int> _rankByPair;
    private readonly int[] _idByRank;

    /// <param name="vocabulary">Ids by token.</param>
    /// <param name="merges">Pairs of tokens, each once, those to be merged first coming first.</param>
    public LongWordMerger(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyList<(string Left, string Right)> merges)
    {
        foreach (var (token, id) in vocabulary)
        {
            if (token.Length == 1 || (token.Length == 2 && char.IsSurrogatePair(token[0], token[1])))
                _idByCharacter.Add(char.ConvertToUtf32(token, 0), id);
        }
        _rankByPair = new Dictionary<ulong, int>(merges.Count);
        _idByRank = new int[merges.Count];
        for (int rank = 0; rank < merges.Count; rank++)
        {
            var (left, right) = merges[rank];
            _rankByPair.Add(Pair(vocabulary[left], vocabulary[right]), rank);
            _idByRank[rank] = vocabulary[left + right];
        }
    }

    /// <summary>Appends the ids of a run of characters that all have tokens.</summary>
    public void Encode(ReadOnlySpan<char> run, List<int> ids)
    {
        var symbols = new Symbol[run.Length];
        int count = 0;
        foreach (var rune in run.EnumerateRunes())
        {
            symbols[count] = new Symbol { Id = _idByCharacter[rune.Value], Previous = count - 1, Next = count + 1 };
            count++;
        }
        symbols[count - 1].Next = None;
        MergeAll(symbols.AsSpan(0, count));
        for (int i = 0; i != None; i = symbols[i].Next)
            ids.Add(symbols[i].Id);
    }

    // Merges the neighbours whose merge has the lowest rank, the leftmost of equals first, until none is left.
    private void MergeAll(Span<Symbol> symbols)
    {
        var queue = new PriorityQueue<ulong, ulong>(); // rank and position, in both roles
        for (int i = 0; i + 1 < symbols.Length; i++)
            Enqueue(symbols, i, queue);
        while (queue.TryDequeue(out ulong candidate, out _))
        {
            int rank = (int)(candidate >> 32);
            int position = (int)(uint)candidate;
            ref var left = ref symbols[position];
            if (left.Id == None || left.Next == None)
                continue;
            ref var right = ref symbols[left.Next];
            // The neighbours may have changed since; then they merge now only if the same token comes of it.
            if (!_rankByPair.TryGetValue(Pair(left.Id, right.Id), out int currentRank) || _idByRank[currentRank] != _idByRank[rank])
                continue;
            left.Id = _idByRank[rank];
            left.Next = right.Next;
            right.Id = None;
            if (left.Previous != None)
                Enqueue(symbols, left.Previous, queue);
            if (left.Next != None)
            {
                symbols[left.Next].Previous = position;
                Enqueue(symbols, position, queue);
            }
        }
    }

    private void Enqueue(Span<Symbol> symbols, int position, PriorityQueue<ulong, ulong> queue)
    {
        if (_rankByPair.TryGetValue(Pair(symbols[position].Id, symbols[symbols[position].Next].Id), out int rank))
        {
            ulong candidate = ((ulong)(uint)rank << 32) | (uint)position;
            queue.Enqueue(candidate, candidate);
        }
    }

    /// <summary>
    /// A key for a pair, different for different pairs. The factor is odd, so nothing is lost. It spreads the keys: a dictionary would
    /// otherwise hash them to left ^ right, which is 0 for every pair of equals.
    /// </summary>
    internal static ulong Pair(int left, int right) => (((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15;

    private struct Symbol
    {
        public int Id;
        public int Previous;
        public int Next;
    }
}
