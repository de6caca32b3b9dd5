using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace LocalLlm.Tokenization;

/// <summary>
/// Reads <c>tokenizer.model</c>, the file of SentencePiece, where its model is byte pair encoding. Microsoft.ML.Tokenizers encodes; it keeps
/// the types of the pieces to itself, so those and the settings are read here from the file's protocol buffer (sentencepiece_model.proto).
/// </summary>
internal sealed class SentencePieceReader
{
    private const int NormalType = 1, UnknownType = 2, ControlType = 3, UserDefinedType = 4, ByteType = 6;
    private const int BpeModelType = 2;

    private readonly List<(string Text, int Type)> _pieces = [];
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
        SentencePieceTokenizer library;
        try
        {
            reader.ReadModel(file);
            if (!reader.Check(errors))
                return null;
            library = SentencePieceTokenizer.Create(new MemoryStream(file), addBeginningOfSentence: false, addEndOfSentence: false);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The library documents no exceptions for broken files; any means that.
            errors.Add($"tokenizer.model is broken: {e.Message}");
            return null;
        }
        return reader.Build(library, config, errors);
    }

    private bool Check(LoadErrors errors)
    {
        int before = errors.Count;
        if (_modelType != BpeModelType)
            errors.Add($"tokenizer.model: the model is of type {_modelType} of sentencepiece_model.proto; only 2 (byte pair encoding) is supported");
        if (_hasCharacterMap)
            errors.Add("tokenizer.model: the normalizer has a character map, which is not supported; convert the file to a tokenizer.json");
        if (_removeExtraWhiteSpace || _whiteSpaceIsSuffix || !_escapeWhiteSpace)
            errors.Add("tokenizer.model: remove_extra_whitespaces and treat_whitespace_as_suffix must be off and escape_whitespaces on; "
                + "convert the file to a tokenizer.json");
        int firstByte = _pieces.FindIndex(p => p.Text == BpeModel.ByteToken(0));
        if (_byteFallback && !(firstByte >= 0 && firstByte + 256 <= _pieces.Count
            && Enumerable.Range(0, 256).All(b => _pieces[firstByte + b] == (BpeModel.ByteToken((byte)b), ByteType))))
            errors.Add("tokenizer.model: byte_fallback is on, but the pieces <0x00> to <0xFF> are not there in one row");
        foreach (var (text, type) in _pieces)
        {
            if (type is ControlType or UserDefinedType or UnknownType && text.EnumerateRunes().Count() < 2)
                errors.Add($"tokenizer.model: the control piece '{text}' is a single character, which is not supported");
        }
        return errors.Count == before;
    }

    private TextTokenizer? Build(SentencePieceTokenizer library, TokenizerConfig config, LoadErrors errors)
    {
        var table = new TokenTable(errors);
        var wrong = new List<string>();
        var added = new List<AddedToken>();
        for (int id = 0; id < _pieces.Count; id++)
        {
            var (text, type) = _pieces[id];
            if (id > TokenTable.MaxId)
                wrong.Add($"tokenizer.model: '{text}' is piece {id}; at most {TokenTable.MaxId} are supported");
            else
                table.Add(text, id, "tokenizer.model", wrong);
            if (type is ControlType or UserDefinedType or UnknownType)
                added.Add(new AddedToken(id, text, type != UserDefinedType, StripLeft: false, StripRight: false, SingleWord: false, Normalized: false));
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

        const string Space = "▁";
        var escape = new ReplaceStep(TextPattern.FromLiteral(" "), Space);
        var definition = table.Build(
            config,
            new TextNormalizer(_addDummyPrefix && !config.PrefixesFirstTextOnly ? [new PrependStep(Space), escape] : [escape]),
            new TokenDecoder
            {
                ByteFallback = _byteFallback,
                Replacements = [new ReplaceStep(TextPattern.FromLiteral(Space), " ")],
                StripStart = (' ', _addDummyPrefix ? 1 : 0),
            },
            prefix: [],
            suffix: []);
        if (errors.Count > 0 || definition is null)
            return null;
        bool prefixesFirstText = _addDummyPrefix && config.PrefixesFirstTextOnly;
        var controlTexts = definition.AddedTokens.Where(t => t.IsControl).Select(t => t.Text);
        return new TextTokenizer(definition, _ => new SentencePieceModel(library, prefixesFirstText ? Space : "", [.. controlTexts]));
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
        var (text, type) = ("", NormalType);
        while (TryReadField(ref message, out int field, out ulong number, out var bytes))
        {
            if (field == 1)
                text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
            else if (field == 3)
                type = (int)number;
        }
        _pieces.Add((text, type));
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

/// <summary>Encodes with a SentencePiece model of Microsoft.ML.Tokenizers.</summary>
/// <param name="library">The model.</param>
/// <param name="firstPrefix">What goes before the first text of a prompt.</param>
/// <param name="controlTexts">Texts that no piece may be made of.</param>
internal sealed class SentencePieceModel(SentencePieceTokenizer library, string firstPrefix, string[] controlTexts) : ISubwordModel
{
    private readonly SearchValues<string> _controlTexts = SearchValues.Create(controlTexts, StringComparison.Ordinal);

    public void Encode(string text, bool isTextStart, List<int> ids)
    {
        if (isTextStart && !text.StartsWith(firstPrefix, StringComparison.Ordinal))
            text = firstPrefix + text;
        // The library's model would merge letters into a control piece, so a control text that someone forged is cut after its first
        // character; none can be made across the cut.
        var rest = text.AsSpan();
        while (rest.IndexOfAny(_controlTexts) is >= 0 and var forged)
        {
            Rune.DecodeFromUtf16(rest[forged..], out _, out int length);
            Add(rest[..(forged + length)], ids);
            rest = rest[(forged + length)..];
        }
        Add(rest, ids);
    }

    private void Add(ReadOnlySpan<char> text, List<int> ids)
    {
        if (text.Length > 0)
            ids.AddRange(library.EncodeToIds(text, addBeginningOfSentence: false, addEndOfSentence: false, considerPreTokenization: false, considerNormalization: false));
    }
}
