using System.Collections.Frozen;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>What a tokenizer file says of its byte-pair-encoding model.</summary>
internal sealed record BpeDefinition
{
    public required IReadOnlyDictionary<string, int> Vocabulary { get; init; }

    /// <summary>Pairs of tokens, those to be merged first coming first.</summary>
    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    public required int? UnknownId { get; init; }

    /// <summary>Whether neighbouring unknown characters become one unknown token.</summary>
    public required bool FuseUnknown { get; init; }

    /// <summary>Whether a character without a token becomes the tokens <c>&lt;0x00&gt;</c>…<c>&lt;0xFF&gt;</c> of its UTF-8 bytes.</summary>
    public required bool ByteFallback { get; init; }

    /// <summary>Whether a word that is a token becomes that token at once.</summary>
    public required bool IgnoreMerges { get; init; }
}

/// <summary>
/// Byte pair encoding of words. Microsoft.ML.Tokenizers' BpeTokenizer has no byte fallback, no <c>ignore_merges</c>, no way to keep control
/// tokens out of the result, and removes merged symbols one by one, which is quadratic in a word's length (a SentencePiece-style file makes
/// the whole text one word). So the merge loop is here; it takes n log n, and the tests compare it with that library's.
/// </summary>
internal sealed class BpeModel : ISubwordModel
{
    private const int None = -1;

    private readonly WordSplitter _splitter;
    private readonly BpeDefinition _definition;
    private readonly FrozenSet<int> _controlIds;
    private readonly int[] _idByUnit = new int[char.MaxValue + 1];
    private readonly Dictionary<int, int> _idBySupplementary = [];
    private readonly int[]? _idByByte;
    private readonly Dictionary<ulong, Merge> _merges;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _words;

    /// <param name="splitter">Splits text into words.</param>
    /// <param name="definition">The model; every token of its merges is in its vocabulary.</param>
    /// <param name="controlIds">Tokens that no text may become.</param>
    public BpeModel(WordSplitter splitter, BpeDefinition definition, FrozenSet<int> controlIds)
    {
        (_splitter, _definition, _controlIds) = (splitter, definition, controlIds);
        _idByUnit.AsSpan().Fill(None);
        foreach (var (token, id) in definition.Vocabulary)
        {
            if (token.Length > 2 || controlIds.Contains(id))
                continue;
            if (token.Length == 1)
                _idByUnit[token[0]] = id;
            else if (token.Length == 2 && char.IsSurrogatePair(token[0], token[1]))
                _idBySupplementary.Add(char.ConvertToUtf32(token[0], token[1]), id);
        }
        if (definition.ByteFallback)
        {
            _idByByte = [.. Enumerable.Range(0, 256).Select(b =>
                definition.Vocabulary.TryGetValue(ByteToken((byte)b), out int id) && !controlIds.Contains(id) ? id : None)];
        }
        _merges = new Dictionary<ulong, Merge>(definition.Merges.Count);
        int rank = 0;
        foreach (var (left, right) in definition.Merges)
        {
            int id = definition.Vocabulary[left + right];
            if (!controlIds.Contains(id))
                _merges[Pair(definition.Vocabulary[left], definition.Vocabulary[right])] = new Merge(rank, id);
            rank++;
        }
        var words = definition.IgnoreMerges ? new Dictionary<string, int>(definition.Vocabulary) : [];
        _words = words.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>The spelling of a byte in vocabularies with byte fallback.</summary>
    public static string ByteToken(byte value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    public void Encode(string text, bool isTextStart, List<int> ids)
    {
        var words = _splitter.Split(text, isTextStart);
        var workspace = new Workspace();
        foreach (var span in words.Spans)
            EncodeWord(words[span], ids, workspace);
    }

    private void EncodeWord(ReadOnlySpan<char> word, List<int> ids, Workspace workspace)
    {
        if (_definition.IgnoreMerges && _words.TryGetValue(word, out int wordId) && !_controlIds.Contains(wordId))
        {
            ids.Add(wordId);
            return;
        }
        int count = ToSymbols(word, workspace);
        if (count > 1)
            MergeAll(workspace, count);
        foreach (var symbol in workspace.Symbols.AsSpan(0, count))
        {
            if (symbol.Id != None)
                ids.Add(symbol.Id);
        }
    }

    private int ToSymbols(ReadOnlySpan<char> word, Workspace workspace)
    {
        int capacity = word.Length * (_idByByte is null ? 1 : 3); // UTF-8 has at most 3 bytes for a UTF-16 unit
        if (workspace.Symbols.Length < capacity)
            workspace.Symbols = new Symbol[Math.Max(64, capacity)];
        int count = 0;
        int pendingUnknown = 0;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < word.Length; i++)
        {
            int id;
            Rune rune;
            if (char.IsHighSurrogate(word[i]) && i + 1 < word.Length)
            {
                rune = new Rune(word[i], word[++i]);
                id = _idBySupplementary.GetValueOrDefault(rune.Value, None);
            }
            else
            {
                rune = new Rune(word[i]);
                id = _idByUnit[word[i]];
            }
            if (id != None)
            {
                FlushUnknown(workspace);
                workspace.Symbols[count++].Id = id;
                continue;
            }
            if (_idByByte is not null)
            {
                var bytes = utf8[..rune.EncodeToUtf8(utf8)];
                bool allThere = true;
                foreach (byte b in bytes)
                    allThere &= _idByByte[b] != None;
                if (allThere)
                {
                    // An unknown token that waits to be fused goes after the bytes: the order that Hugging Face's loop gives.
                    foreach (byte b in bytes)
                        workspace.Symbols[count++].Id = _idByByte[b];
                    continue;
                }
            }
            if (_definition.UnknownId is not null)
            {
                if (!_definition.FuseUnknown)
                    FlushUnknown(workspace);
                pendingUnknown = 1;
            }
        }
        FlushUnknown(workspace);
        return count;

        void FlushUnknown(Workspace workspace)
        {
            if (pendingUnknown == 0)
                return;
            workspace.Symbols[count++].Id = _definition.UnknownId!.Value;
            pendingUnknown = 0;
        }
    }

    // Repeatedly merges the neighbours whose merge has the lowest rank, the leftmost first, until none is left.
    private void MergeAll(Workspace workspace, int count)
    {
        var symbols = workspace.Symbols.AsSpan(0, count);
        var queue = workspace.Queue;
        queue.Clear();
        for (int i = 0; i < count; i++)
        {
            symbols[i].Previous = i - 1;
            symbols[i].Next = i + 1 < count ? i + 1 : None;
        }
        for (int i = 0; i + 1 < count; i++)
            Enqueue(symbols, i, queue);
        while (queue.TryDequeue(out var candidate, out _))
        {
            ref var left = ref symbols[candidate.Position];
            if (left.Id == None || left.Next == None)
                continue;
            ref var right = ref symbols[left.Next];
            // The neighbours may have changed since the candidate was queued.
            if (!_merges.TryGetValue(Pair(left.Id, right.Id), out var merge) || merge.Id != candidate.Id)
                continue;
            left.Id = merge.Id;
            right.Id = None;
            left.Next = right.Next;
            if (left.Next != None)
                symbols[left.Next].Previous = candidate.Position;
            if (left.Previous != None)
                Enqueue(symbols, left.Previous, queue);
            if (left.Next != None)
                Enqueue(symbols, candidate.Position, queue);
        }
    }

    private void Enqueue(Span<Symbol> symbols, int position, PriorityQueue<Candidate, ulong> queue)
    {
        if (_merges.TryGetValue(Pair(symbols[position].Id, symbols[symbols[position].Next].Id), out var merge))
            queue.Enqueue(new Candidate(position, merge.Id), ((ulong)(uint)merge.Rank << 32) | (uint)position);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private readonly record struct Merge(int Rank, int Id);

    private readonly record struct Candidate(int Position, int Id);

    private struct Symbol
    {
        public int Id;
        public int Previous;
        public int Next;
    }

    /// <summary>Buffers of one call.</summary>
    private sealed class Workspace
    {
        public Symbol[] Symbols { get; set; } = [];

        public PriorityQueue<Candidate, ulong> Queue { get; } = new();
    }
}
