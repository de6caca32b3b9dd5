using System.Runtime.CompilerServices;
using System.Text;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;
using LocalLlm.Tokenization;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A model's tokens as constraints see them: their bytes as tries. Added tokens are control tokens, which no text spells: a grammar names them, or lets free
/// text hold them. Immutable; the machines and masks that grammars over it share are guarded by <see cref="Lock"/>.
/// </summary>
internal sealed class ConstraintVocabulary
{
    /// <summary>Longer tokens do not count as plain; there are hardly any.</summary>
    private const int MostPlainCharacters = 32;

    private readonly ReadOnlyMemory<byte>[] tokenBytes; // as text goes on; empty for control tokens
    private readonly ReadOnlyMemory<byte>[] firstBytes; // at the beginning of a text
    private readonly bool[] isControl;
    private readonly ulong[][] plainUpTo; // [characters] words
    private readonly ConditionalWeakTable<CharDfa, Terminal> texts = [];
    private readonly ConditionalWeakTable<CharDfa, Terminal> jsonStrings = [];

    /// <summary>Prepares tokens.</summary>
    /// <param name="tokenBytes">The bytes of each token; none for control tokens and for ids that are no token.</param>
    /// <param name="firstBytes">The same for a token that begins a text; null if no tokenizer drops anything there.</param>
    /// <param name="isControl">Whether each token is a control token.</param>
    /// <param name="endIds">The control tokens that end an output.</param>
    /// <param name="logitCount">Logits of the model.</param>
    public ConstraintVocabulary(
        ReadOnlyMemory<byte>[] tokenBytes, ReadOnlyMemory<byte>[]? firstBytes, bool[] isControl, IEnumerable<int> endIds, int logitCount)
    {
        (LogitCount, WordCount, EndIds) = (logitCount, (logitCount + 63) / 64, [.. endIds.Where(id => id < logitCount).Order()]);
        (this.tokenBytes, this.firstBytes, this.isControl) = (tokenBytes, firstBytes ?? tokenBytes, isControl);
        var all = tokenBytes.Select((bytes, id) => (id, bytes)).ToList();
        Trie = TokenTrie.Build(all);
        FirstTrie = firstBytes is null ? Trie : TokenTrie.Build(firstBytes.Select((bytes, id) => (id, bytes)));
        var characters = tokenBytes.Select(b => PlainCharacters(b.Span)).ToArray();
        OtherTrie = TokenTrie.Build(all.Where(t => characters[t.id] < 0));
        plainUpTo = new ulong[MostPlainCharacters + 1][];
        for (var most = 0; most < plainUpTo.Length; most++)
        {
            plainUpTo[most] = new ulong[WordCount];
            for (var id = 0; id < characters.Length; id++)
            {
                if (characters[id] > 0 && characters[id] <= most)
                    plainUpTo[most][id >> 6] |= 1ul << id;
            }
        }

        JsonSpace = Terminal.Of(this, new JsonSpaceMachine());
    }

    /// <summary>Guards what is shared by the grammars over this vocabulary and grows as they are used.</summary>
    public Lock Lock { get; } = new();

    /// <summary>Logits of the model, which may be more than there are tokens.</summary>
    public int LogitCount { get; }

    /// <summary>64-bit words of a set of tokens.</summary>
    public int WordCount { get; }

    /// <summary>The tokens that end an output.</summary>
    public IReadOnlyList<int> EndIds { get; }

    /// <summary>All tokens that text can be spelled with.</summary>
    public TokenTrie Trie { get; }

    /// <summary>The same at the beginning of a text, where some tokenizers drop a space.</summary>
    public TokenTrie FirstTrie { get; }

    /// <summary>Those of them that are not plain: they hold a quote, a backslash, a control character or part of a character, or are very long.</summary>
    public TokenTrie OtherTrie { get; }

    /// <summary>White space, the same for all grammars.</summary>
    public Terminal JsonSpace { get; }

    /// <summary>The terminal of a language, the same for all grammars that hold the same object.</summary>
    /// <param name="language">The language.</param>
    /// <param name="isJson">Whether it is the value of a JSON string.</param>
    /// <param name="create">Makes its machine.</param>
    public Terminal TerminalOf(CharDfa language, bool isJson, Func<CharDfa, ByteMachine> create) =>
        (isJson ? jsonStrings : texts).GetValue(language, key => Terminal.Of(this, create(key)));

    /// <summary>Prepares a model's tokens.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="endIds">The tokens that end an output.</param>
    /// <param name="logitCount">Logits of the model.</param>
    public static ConstraintVocabulary Create(TextTokenizer tokenizer, IReadOnlySet<int> endIds, int logitCount)
    {
        var count = Math.Min(tokenizer.VocabularySize, logitCount);
        var (tokenBytes, firstBytes, isControl) = (new ReadOnlyMemory<byte>[count], new ReadOnlyMemory<byte>[count], new bool[count]);
        for (var id = 0; id < count; id++)
        {
            isControl[id] = tokenizer.IsAdded(id) || endIds.Contains(id);
            if (isControl[id] || !tokenizer.IsToken(id))
                continue;
            tokenBytes[id] = tokenizer.TokenBytes(id);
            firstBytes[id] = FirstBytes(tokenizer, id);
        }

        var dropsNothing = tokenizer.Decoder is { DroppedInFirstToken: null, StripStart.Count: 0 };
        return new ConstraintVocabulary(tokenBytes, dropsNothing ? null : firstBytes, isControl, endIds, logitCount);
    }

    /// <summary>Whether a token is a control token, which no text spells.</summary>
    public bool IsControl(int id) => (uint)id < (uint)isControl.Length && isControl[id];

    /// <summary>The bytes that a token adds to the text; none for a control token.</summary>
    public ReadOnlySpan<byte> Bytes(int id, bool atBeginning) => (uint)id >= (uint)tokenBytes.Length ? [] : (atBeginning ? firstBytes : tokenBytes)[id].Span;

    /// <summary>All control tokens but those that end the output.</summary>
    public IEnumerable<int> ControlIds => Enumerable.Range(0, isControl.Length).Where(id => isControl[id] && !EndIds.Contains(id));

    /// <summary>The plain tokens of at most so many characters, as a set; <see cref="int.MaxValue"/> for all.</summary>
    public ReadOnlySpan<ulong> PlainTokens(int characters) => plainUpTo[Math.Min(characters, MostPlainCharacters)];

    private static ReadOnlyMemory<byte> FirstBytes(TextTokenizer tokenizer, int id)
    {
        var decoder = tokenizer.Decoder;
        var bytes = decoder.DroppedInFirstToken is { } dropped
            ? decoder.Bytes(tokenizer.TokenText(id).Replace(dropped.ToString(), "", StringComparison.Ordinal), isAdded: false)
            : tokenizer.TokenBytes(id);
        var stripped = decoder.StripStart.Count > 0 ? Encoding.UTF8.GetBytes(decoder.StripStart.Character.ToString()) : [];
        for (var i = 0; i < decoder.StripStart.Count && stripped.Length > 0 && bytes.Span.StartsWith(stripped); i++)
            bytes = bytes[stripped.Length..];
        return bytes;
    }

    /// <summary>Characters of a plain token; −1 for another or a very long one, 0 for one without bytes.</summary>
    private static int PlainCharacters(ReadOnlySpan<byte> bytes)
    {
        var count = 0;
        while (bytes.Length > 0)
        {
            if (bytes[0] is < 0x20 or (byte)'"' or (byte)'\\' || Rune.DecodeFromUtf8(bytes, out _, out var used) != System.Buffers.OperationStatus.Done)
                return -1;
            bytes = bytes[used..];
            count++;
        }

        return count <= MostPlainCharacters ? count : -1;
    }
}
