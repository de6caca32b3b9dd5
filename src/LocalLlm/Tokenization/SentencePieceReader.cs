using System.Buffers.Binary;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>
/// Reads <c>tokenizer.model</c>, the file of SentencePiece (sentencepiece_model.proto), where its model is byte pair encoding, and makes of
/// it what Hugging Face makes of it: a list of merges. Microsoft.ML.Tokenizers' own SentencePieceTokenizer is not used: of equal pairs it
/// merges the rightmost first where SentencePiece merges the leftmost, its merges can make control pieces of plain text, and it keeps the
/// types of the pieces to itself.
/// </summary>
internal sealed class SentencePieceReader
{
    private const int NormalType = 1, UnknownType = 2, ControlType = 3, UserDefinedType = 4, UnusedType = 5, ByteType = 6;
    private const int BpeModelType = 2;

    private readonly List<(string Text, float Score, int Type)> _pieces = [];
    private int _modelType = 1; // the file format's default: Unigram
    private bool _byteFallback;
    private bool _whiteSpaceIsSuffix;
    private bool _hasCharacterMap;
    private bool _addDummyPrefix = true;
    private bool _removeExtraWhiteSpace = true;
    private bool _escapeWhiteSpace = true;
    private int _bosId = 1;
    private int _eosId = 2;

    /// <summary>Reads the file; null, with the reasons in <paramref name="errors"/>, if anything is wrong.</summary>
    public static TextTokenizer? Read(byte[] file, TokenizerConfig config, LoadErrors errors)
    {
        var reader = new SentencePieceReader();
        try
        {
            reader.ReadModel(file);
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException or IndexOutOfRangeException or OverflowException)
        {
            // The last three: a message that ends too early, text that is no UTF-8, a length beyond any array.
            errors.Add($"tokenizer.model is broken: {e.Message}");
            return null;
        }
        return reader.Check(errors) ? reader.Build(config, errors) : null;
    }

    private bool Check(LoadErrors errors)
    {
        int before = errors.Count;
        if (_modelType != BpeModelType)
            errors.Add($"tokenizer.model: the model is of type {_modelType} of sentencepiece_model.proto; "
                + "only 2 (byte pair encoding) is supported");
        if (_hasCharacterMap)
            errors.Add("tokenizer.model: the normalizer has a character map, which is not supported; convert the file to a tokenizer.json");
        if (_removeExtraWhiteSpace || _whiteSpaceIsSuffix || !_escapeWhiteSpace)
            errors.Add("tokenizer.model: remove_extra_whitespaces and treat_whitespace_as_suffix must be off and escape_whitespaces on; "
                + "convert the file to a tokenizer.json");
        if (_byteFallback && !Enumerable.Range(0, 256).Select(b => BpeModel.ByteToken((byte)b)).All(
            _pieces.Where(p => p.Type == ByteType).Select(p => p.Text).ToHashSet().Contains))
            errors.Add("tokenizer.model: byte_fallback is on, but not all of the pieces <0x00> to <0xFF> are there");
        if (_pieces.All(p => p.Type is ControlType or UnknownType or ByteType))
            errors.Add("tokenizer.model has no pieces for text");
        return errors.Count == before;
    }

    private TextTokenizer? Build(TokenizerConfig config, LoadErrors errors)
    {
        var table = new TokenTable(errors);
        var wrong = new List<string>();
        var added = new List<AddedToken>();
        for (int id = 0; id < _pieces.Count; id++)
        {
            var (text, _, type) = _pieces[id];
            if (id > TokenTable.MaxId || text.Length == 0)
                wrong.Add($"tokenizer.model: piece {id} is '{JsonReading.Shown(text)}'; it needs a text and an id up to {TokenTable.MaxId}");
            else
                table.Add(text, id, "tokenizer.model", wrong);
            if (type is ControlType or UserDefinedType or UnknownType)
                added.Add(AddedToken.Plain(id, text, special: type != UserDefinedType));
        }
        errors.AddAll(wrong);
        table.AddAddedTokens(added, "tokenizer.model");

        var texts = new Dictionary<string, string>(config.SpecialTokenTexts);
        foreach (var (name, id) in new[] { ("bos_token", _bosId), ("eos_token", _eosId) })
        {
            if (id >= 0 && id < _pieces.Count && _pieces[id].Type == ControlType)
                texts.TryAdd(name, _pieces[id].Text);
        }
        // Llama's tokenizer, whose file this is, begins a text with the token unless told otherwise.
        config = config with { SpecialTokenTexts = texts, AddBos = config.AddBos ?? texts.ContainsKey("bos_token") };
        table.AddConfigured(config);

        const char Space = '▁';
        bool prefixesEveryText = _addDummyPrefix && !config.PrefixesFirstTextOnly;
        var escape = new ReplaceStep(TextPattern.FromLiteral(" "), Space.ToString());
        var definition = table.Build(
            config,
            new TextNormalizer(prefixesEveryText ? [new PrependStep(Space.ToString()), escape] : [escape]),
            new TokenDecoder
            {
                ByteFallback = _byteFallback,
                Replacements = [new ReplaceStep(TextPattern.FromLiteral(Space.ToString()), " ")],
                StripStart = (' ', _addDummyPrefix ? 1 : 0),
            },
            prefix: [],
            suffix: []);
        if (errors.Count > 0 || definition is null)
            return null;
        var splitter = new WordSplitter(
            _addDummyPrefix && config.PrefixesFirstTextOnly ? [new MetaspaceStep(Space, MetaspacePrepend.First, split: false)] : []);
        int unknown = _pieces.FindIndex(p => p.Type == UnknownType);
        var model = new BpeDefinition
        {
            Vocabulary = _pieces.Select((p, id) => KeyValuePair.Create(p.Text, id)).ToDictionary(StringComparer.Ordinal),
            Merges = Merges(),
            UnknownId = unknown < 0 ? null : unknown,
            FuseUnknown = true,
            ByteFallback = _byteFallback,
            IgnoreMerges = false,
        };
        return new TextTokenizer(definition, controlIds => new BpeModel(splitter, model, controlIds));
    }

    // SentencePiece merges the neighbours that give the piece with the highest score; as a list: every way to make a piece of two others,
    // by the piece's score, then by the lengths of the two.
    private List<(string Left, string Right)> Merges()
    {
        var ids = _pieces.Select((p, id) => (p, id)).Where(e => e.p.Type is NormalType or UnusedType)
            .ToDictionary(e => e.p.Text, e => e.id, StringComparer.Ordinal);
        var merges = new List<(string Left, string Right, float Score, int LeftLength, int RightLength)>();
        foreach (string piece in ids.Keys)
        {
            int first = merges.Count;
            int length = piece.EnumerateRunes().Count();
            int leftLength = 0;
            for (int cut = 0; cut < piece.Length;)
            {
                cut += char.IsHighSurrogate(piece[cut]) ? 2 : 1;
                leftLength++;
                if (cut < piece.Length && ids.ContainsKey(piece[..cut]) && ids.ContainsKey(piece[cut..]))
                    merges.Add((piece[..cut], piece[cut..], _pieces[ids[piece]].Score, leftLength, length - leftLength));
            }
            merges.Sort(first, merges.Count - first, Comparer<(string Left, string Right, float, int, int)>.Create((x, y) =>
                (ids[x.Left], ids[x.Right]).CompareTo((ids[y.Left], ids[y.Right]))));
        }
        return [.. merges.OrderByDescending(m => m.Score).ThenByDescending(m => m.LeftLength).ThenByDescending(m => m.RightLength)
            .Select(m => (m.Left, m.Right))];
    }

    private void ReadModel(ReadOnlySpan<byte> message)
    {
        while (TryReadField(ref message, out int field, out _, out var bytes))
        {
            switch (field)
            {
                case 1:
                    ReadPiece(bytes);
                    break;
                case 2:
                    ReadTrainerSpec(bytes);
                    break;
                case 3:
                    ReadNormalizerSpec(bytes);
                    break;
            }
        }
    }

    private void ReadPiece(ReadOnlySpan<byte> message)
    {
        var (text, score, type) = ("", 0f, NormalType);
        while (TryReadField(ref message, out int field, out ulong number, out var bytes))
        {
            if (field == 1)
                text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
            else if (field == 2)
                score = BitConverter.UInt32BitsToSingle((uint)number);
            else if (field == 3)
                type = (int)number;
        }
        _pieces.Add((text, score, type));
    }

    private void ReadTrainerSpec(ReadOnlySpan<byte> message)
    {
        while (TryReadField(ref message, out int field, out ulong number, out _))
        {
            switch (field)
            {
                case 3:
                    _modelType = (int)number;
                    break;
                case 24:
                    _whiteSpaceIsSuffix = number != 0;
                    break;
                case 35:
                    _byteFallback = number != 0;
                    break;
                case 41:
                    _bosId = (int)number;
                    break;
                case 42:
                    _eosId = (int)number;
                    break;
            }
        }
    }

    private void ReadNormalizerSpec(ReadOnlySpan<byte> message)
    {
        while (TryReadField(ref message, out int field, out ulong number, out var bytes))
        {
            switch (field)
            {
                case 2:
                    _hasCharacterMap = bytes.Length > 0;
                    break;
                case 3:
                    _addDummyPrefix = number != 0;
                    break;
                case 4:
                    _removeExtraWhiteSpace = number != 0;
                    break;
                case 5:
                    _escapeWhiteSpace = number != 0;
                    break;
            }
        }
    }

    private static bool TryReadField(ref ReadOnlySpan<byte> message, out int field, out ulong number, out ReadOnlySpan<byte> bytes)
    {
        (field, number) = (0, 0);
        bytes = default;
        if (message.IsEmpty)
            return false;
        ulong key = ReadNumber(ref message);
        field = (int)(key >> 3);
        switch (key & 7)
        {
            case 0:
                number = ReadNumber(ref message);
                break;
            case 1:
                number = BinaryPrimitives.ReadUInt64LittleEndian(message);
                message = message[8..];
                break;
            case 2:
                int length = checked((int)ReadNumber(ref message));
                bytes = message[..length];
                message = message[length..];
                break;
            case 5:
                number = BinaryPrimitives.ReadUInt32LittleEndian(message);
                message = message[4..];
                break;
            default:
                throw new InvalidDataException($"a field has the wire type {key & 7}");
        }
        return true;
    }

    private static ulong ReadNumber(ref ReadOnlySpan<byte> message)
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte b = message[0];
            message = message[1..];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
                return value;
        }
        throw new InvalidDataException("a number has more than 64 bits");
    }
}
