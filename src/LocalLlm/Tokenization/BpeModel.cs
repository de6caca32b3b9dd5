using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace LocalLlm.Tokenization;

/// <summary>What a tokenizer file says of its byte-pair-encoding model.</summary>
internal sealed record BpeDefinition
{
    public required IReadOnlyDictionary<string, int> Vocabulary { get; init; }

    /// <summary>Pairs of tokens, those to be merged first coming first. The pairs and what they make are in the vocabulary.</summary>
    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    public required int? UnknownId { get; init; }

    /// <summary>Whether neighbouring unknown characters become one unknown token.</summary>
    public required bool FuseUnknown { get; init; }

    /// <summary>Whether a character without a token becomes the tokens <c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c> of its bytes.</summary>
    public required bool ByteFallback { get; init; }

    /// <summary>Whether a word that is a token becomes that token at once.</summary>
    public required bool IgnoreMerges { get; init; }
}

/// <summary>
/// Byte pair encoding of words, by Microsoft.ML.Tokenizers. That library's BpeTokenizer knows neither byte fallback nor
/// <c>ignore_merges</c>, and its time is quadratic in a word's length, which a SentencePiece-style file makes the length of the whole text.
/// So this class deals with what has no token, cuts words where no merge can reach across, and leaves to <see cref="LongWordMerger"/> the
/// rare runs that stay long.
/// </summary>
internal sealed class BpeModel : ISubwordModel
{
    /// <summary>The longest run, in UTF-16 units, that the library merges by default.</summary>
    public const int DefaultLongestLibraryRun = 512;

    private readonly WordSplitter _splitter;
    private readonly BpeDefinition _definition;
    private readonly int _longestLibraryRun;
    private readonly BpeTokenizer _library;
    private readonly Lazy<LongWordMerger> _longWordMerger;
    private readonly FrozenSet<ulong> _mergingCharacters;
    private readonly Dictionary<int, int> _idByCharacter = [];
    private readonly int[]? _idByByte;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _words;

    /// <param name="splitter">Splits text into words.</param>
    /// <param name="definition">The model.</param>
    /// <param name="controlIds">Tokens that no text may become.</param>
    /// <param name="longestLibraryRun">Runs of more UTF-16 units are merged by <see cref="LongWordMerger"/>; for tests.</param>
    public BpeModel(
        WordSplitter splitter, BpeDefinition definition, FrozenSet<int> controlIds, int longestLibraryRun = DefaultLongestLibraryRun)
    {
        (_splitter, _definition) = (splitter, definition);
        var vocabulary = definition.Vocabulary.Where(t => !controlIds.Contains(t.Value)).ToDictionary(StringComparer.Ordinal);
        var merges = EffectiveMerges(definition.Merges, vocabulary);
        foreach (var (token, id) in vocabulary)
        {
            if (token.Length == 1 || (token.Length == 2 && char.IsSurrogatePair(token[0], token[1])))
                _idByCharacter.Add(char.ConvertToUtf32(token, 0), id);
        }
        if (definition.ByteFallback)
            _idByByte = [.. Enumerable.Range(0, 256).Select(b => vocabulary.GetValueOrDefault(ByteToken((byte)b), -1))];
        _mergingCharacters = merges.Select(m => Pair(m.Left.EnumerateRunes().Last(), m.Right.EnumerateRunes().First())).ToFrozenSet();
        _words = (definition.IgnoreMerges ? vocabulary : []).GetAlternateLookup<ReadOnlySpan<char>>();
        _longWordMerger = new Lazy<LongWordMerger>(() => new LongWordMerger(vocabulary, merges));
        // The library takes merges as "a b", so it cannot have one with a space in a token.
        bool spelledWithSpaces = merges.Any(m => (m.Left + m.Right).Contains(' ', StringComparison.Ordinal));
        _longestLibraryRun = spelledWithSpaces ? 0 : longestLibraryRun;
        _library = BpeTokenizer.Create(new BpeOptions(vocabulary)
        {
            Merges = spelledWithSpaces ? [] : merges.Select(m => $"{m.Left} {m.Right}"),
        });
    }

    /// <summary>The spelling of a byte in vocabularies with byte fallback.</summary>
    public static string ByteToken(byte value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    public void Encode(string text, bool isTextStart, List<int> ids)
    {
        var words = _splitter.Split(text, isTextStart);
        foreach (var span in words.Spans)
        {
            if (_definition.IgnoreMerges && _words.TryGetValue(words[span], out int wordId))
                ids.Add(wordId);
            else
                EncodeWord(words[span], ids);
        }
    }

    // Of a merge that is listed twice the later place counts. A merge of or into a control token never happens.
    private static List<(string Left, string Right)> EffectiveMerges(
        IReadOnlyList<(string Left, string Right)> merges, Dictionary<string, int> vocabulary)
    {
        var seen = new HashSet<(string, string)>(merges.Count);
        var effective = new List<(string Left, string Right)>(merges.Count);
        for (int i = merges.Count - 1; i >= 0; i--)
        {
            var (left, right) = merges[i];
            bool isPlain = vocabulary.ContainsKey(left) && vocabulary.ContainsKey(right) && vocabulary.ContainsKey(left + right);
            if (isPlain && seen.Add((left, right)))
                effective.Add((left, right));
        }
        effective.Reverse();
        return effective;
    }

    private void EncodeWord(ReadOnlySpan<char> word, List<int> ids)
    {
        int runStart = 0;
        bool unknownPending = false;
        Rune? previous = null;
        for (int i = 0, length; i < word.Length; i += length)
        {
            Rune.DecodeFromUtf16(word[i..], out var rune, out length);
            if (_idByCharacter.ContainsKey(rune.Value))
            {
                if (unknownPending)
                {
                    ids.Add(_definition.UnknownId!.Value);
                    unknownPending = false;
                }
                if (previous is { } left && !_mergingCharacters.Contains(Pair(left, rune)))
                {
                    EncodeRun(word[runStart..i], ids);
                    runStart = i;
                }
                previous = rune;
                continue;
            }
            EncodeRun(word[runStart..i], ids);
            runStart = i + length;
            previous = null;
            // An unknown token that waits to be fused comes after the bytes: so does Hugging Face's loop.
            if (TryAddBytes(rune, ids) || _definition.UnknownId is null)
                continue;
            if (unknownPending && !_definition.FuseUnknown)
                ids.Add(_definition.UnknownId.Value);
            unknownPending = true;
        }
        EncodeRun(word[runStart..], ids);
        if (unknownPending)
            ids.Add(_definition.UnknownId!.Value);
    }

    private bool TryAddBytes(Rune rune, List<int> ids)
    {
        if (_idByByte is null)
            return false;
        Span<byte> utf8 = stackalloc byte[4];
        utf8 = utf8[..rune.EncodeToUtf8(utf8)];
        foreach (byte b in utf8)
        {
            if (_idByByte[b] < 0)
                return false;
        }
        foreach (byte b in utf8)
            ids.Add(_idByByte[b]);
        return true;
    }

    // Encodes characters that all have tokens.
    private void EncodeRun(ReadOnlySpan<char> run, List<int> ids)
    {
        if (run.Length == 0)
            return;
        if (run.Length <= _longestLibraryRun)
            ids.AddRange(_library.EncodeToIds(run, considerPreTokenization: false, considerNormalization: false));
        else
            _longWordMerger.Value.Encode(run, ids);
    }

    private static ulong Pair(Rune left, Rune right) => LongWordMerger.Pair(left.Value, right.Value);
}
