using System.Security.Cryptography;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace LocalLlm.Chat;

/// <summary>What the reader made of a text that begins after the marker of a call.</summary>
/// <param name="Status">Whether it could decide.</param>
/// <param name="Length">The characters read; if malformed, those that must be shown as text.</param>
/// <param name="Calls">The calls, in order.</param>
internal readonly record struct ToolCallReading(ToolCallReading.Outcome Status, int Length, IReadOnlyList<ToolCall> Calls)
{
    internal enum Outcome
    {
        NeedsMore,
        Calls,
        Malformed,
    }

    public static ToolCallReading NeedsMore { get; } = new(Outcome.NeedsMore, 0, []);

    public static ToolCallReading Malformed(int length) => new(Outcome.Malformed, length, []);
}

/// <summary>Reads tool calls out of a model's answer. Holds no state: the same text gives the same reading.</summary>
internal sealed partial class ToolCallReader(ToolCallFormat format, IReadOnlySet<string> toolNames, Func<string>? newCallId = null)
{
    private const string Letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    private readonly Func<string> _newCallId = newCallId
        ?? (format == ToolCallFormat.Mistral ? () => RandomNumberGenerator.GetString(Letters, 9) : () => "call_" + RandomNumberGenerator.GetHexString(24, lowercase: true));

    /// <summary>Reads what follows a marker.</summary>
    /// <param name="text">The text after <paramref name="opener"/>.</param>
    /// <param name="opener">The marker.</param>
    /// <param name="isEnd">True if nothing more will come.</param>
    /// <param name="isCutShort">True if the token limit is the reason: whole calls count without what has begun after them.</param>
    public ToolCallReading Read(string text, string opener, bool isEnd, bool isCutShort = false) => opener switch
    {
        "{" => WithoutFirst(ReadWholeAnswer("{" + text, isEnd, isCutShort)),
        "functools[" => WithoutFirst(ReadValues("[" + text, 0, null, isEnd)),
        "[TOOL_CALLS]" => ReadMistral(text, isEnd),
        "<|python_tag|>" => ReadSeparated(text, isEnd),
        _ => ReadValues(text, 0, ToolCallFormats.Closer(format), isEnd),
    };

    // The bracket belongs to the marker, but the JSON needs it.
    private static ToolCallReading WithoutFirst(ToolCallReading reading) => reading with { Length = Math.Max(0, reading.Length - 1) };

    /// <summary>JSON objects, or one array of them, up to the closing marker.</summary>
    private ToolCallReading ReadValues(string text, int start, string? closer, bool isEnd)
    {
        var calls = new List<ToolCall>();
        var at = SkipSpace(text, start);
        while (at < text.Length && text[at] is '{' or '[')
        {
            var end = JsonEnd(text, at);
            if (end < 0)
                return Undecided(text, closer, isEnd);
            if (!TryReadCalls(text[at..end], calls))
                return SkipToCloser(text, end, closer, isEnd);
            if (closer is null)
                return new(ToolCallReading.Outcome.Calls, end, calls);
            at = SkipSpace(text, end);
        }
        if (closer is not null && text.AsSpan(at).StartsWith(closer, StringComparison.Ordinal))
            return calls.Count > 0 ? new(ToolCallReading.Outcome.Calls, at + closer.Length, calls) : SkipToCloser(text, at, closer, isEnd);
        if (!isEnd && (at == text.Length || closer?.StartsWith(text[at..], StringComparison.Ordinal) == true
            || (calls.Count > 0 && "<tool_call>".StartsWith(text[at..], StringComparison.Ordinal))))
            return ToolCallReading.NeedsMore;
        // The closer may be missing where the calls are whole: at the end, before the next call, and in Phi's form anywhere.
        var mayEndHere = at == text.Length || format == ToolCallFormat.Phi4 || text.AsSpan(at).StartsWith("<tool_call>", StringComparison.Ordinal);
        return calls.Count > 0 && mayEndHere ? new(ToolCallReading.Outcome.Calls, at, calls) : SkipToCloser(text, at, closer, isEnd);
    }

    private ToolCallReading Undecided(string text, string? closer, bool isEnd) =>
        isEnd ? SkipToCloser(text, 0, closer, isEnd) : ToolCallReading.NeedsMore;

    /// <summary>What is no JSON, up to and with the closing marker: a call in tags, or malformed.</summary>
    private ToolCallReading SkipToCloser(string text, int from, string? closer, bool isEnd)
    {
        if (closer is null)
            return ToolCallReading.Malformed(from == 0 ? text.Length : from);
        var at = text.IndexOf(closer, from, StringComparison.Ordinal);
        if (at >= 0)
        {
            return TaggedToolCall.TryRead(text[..at], out var name, out var arguments)
                ? new(ToolCallReading.Outcome.Calls, at + closer.Length, [new(_newCallId(), name, arguments)])
                : ToolCallReading.Malformed(at + closer.Length);
        }
        return isEnd ? ToolCallReading.Malformed(text.Length) : ToolCallReading.NeedsMore;
    }

    /// <summary>An answer that must be calls from its first character to its last.</summary>
    private ToolCallReading ReadWholeAnswer(string text, bool isEnd, bool isCutShort)
    {
        if (!MayBeCall(text))
            return ToolCallReading.Malformed(1);
        if (!isEnd)
            return ToolCallReading.NeedsMore;
        var calls = new List<ToolCall>();
        for (var at = 0; at < text.Length;)
        {
            var end = text[at] == '{' ? JsonEnd(text, at) : -1;
            if (end < 0 && isCutShort && calls.Count > 0)
                break;
            if (end < 0 || !TryReadCalls(text[at..end], calls, needsArguments: true) || !toolNames.Contains(calls[^1].Name))
                return ToolCallReading.Malformed(text.Length);
            at = SkipSeparators(text, end);
        }
        return new(ToolCallReading.Outcome.Calls, text.Length, calls);
    }

    /// <summary>False as soon as the first key, or the value of a first key "name", tells that this is no call of a known tool.</summary>
    private bool MayBeCall(string text)
    {
        var match = FirstKey().Match(text);
        if (!match.Success)
            return !HasFirstKey().IsMatch(text);
        var value = match.Groups["value"];
        return match.Groups["key"].Value switch
        {
            "name" => !value.Success || toolNames.Contains(value.Value),
            "type" => !value.Success || value.Value == "function",
            _ => false,
        };
    }

    /// <summary>JSON objects with semicolons between them, until something else comes.</summary>
    private ToolCallReading ReadSeparated(string text, bool isEnd)
    {
        var calls = new List<ToolCall>();
        var at = SkipSpace(text, 0);
        var read = at;
        while (at < text.Length && text[at] == '{')
        {
            var end = JsonEnd(text, at);
            if (end < 0)
            {
                if (!isEnd)
                    return ToolCallReading.NeedsMore;
                break;
            }
            if (!TryReadCalls(text[at..end], calls))
                break;
            read = at = SkipSeparators(text, end);
        }
        if (at == text.Length && !isEnd)
            return ToolCallReading.NeedsMore; // more calls may follow
        return calls.Count > 0 ? new(ToolCallReading.Outcome.Calls, read, calls) : ToolCallReading.Malformed(text.Length > at ? at + 1 : at);
    }

    /// <summary>A JSON array or object, or <c>name[CALL_ID]id[ARGS]{...}</c> with both marks optional.</summary>
    private ToolCallReading ReadMistral(string text, bool isEnd)
    {
        var at = SkipSpace(text, 0);
        if (at == text.Length)
            return isEnd ? ToolCallReading.Malformed(text.Length) : ToolCallReading.NeedsMore;
        if (text[at] is '[' or '{')
        {
            return ReadValues(text, at, null, isEnd);
        }
        var head = MistralHead().Match(text, at);
        if (!head.Success || head.Index != at)
            return !isEnd && MistralPartialHead().IsMatch(text[at..]) ? ToolCallReading.NeedsMore : ToolCallReading.Malformed(at + 1);
        var start = head.Index + head.Length;
        var end = JsonEnd(text, start);
        if (end < 0)
            return isEnd ? ToolCallReading.Malformed(text.Length) : ToolCallReading.NeedsMore;
        return TryReadArguments(text[start..end], out var arguments)
            ? new(ToolCallReading.Outcome.Calls, end, [new(_newCallId(), head.Groups["name"].Value, arguments)])
            : ToolCallReading.Malformed(end);
    }

    /// <summary>The calls in one JSON value: an object, or an array of objects.</summary>
    private bool TryReadCalls(string json, List<ToolCall> calls, bool needsArguments = false)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            var root = document.RootElement;
            var found = new List<ToolCall>();
            foreach (var element in root.ValueKind == JsonValueKind.Array ? root.EnumerateArray().ToArray() : [root])
            {
                if (!TryReadCall(element, needsArguments, out var call))
                    return false;
                found.Add(call);
            }
            calls.AddRange(found);
            return found.Count > 0;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the second: a lone surrogate
        {
            return false;
        }
    }

    private bool TryReadCall(JsonElement element, bool needsArguments, out ToolCall call)
    {
        call = null!;
        if (element.ValueKind != JsonValueKind.Object)
            return false;
        if (element.TryGetProperty("function", out var function) && function.ValueKind == JsonValueKind.Object)
            element = function; // OpenAI's form
        if (!element.TryGetProperty("name", out var name) && !element.TryGetProperty("function", out name))
            return false;
        if (name.ValueKind != JsonValueKind.String || name.GetString() is not { Length: > 0 } toolName)
            return false;
        var arguments = "{}";
        if (element.TryGetProperty("arguments", out var given) || element.TryGetProperty("parameters", out given))
        {
            switch (given.ValueKind)
            {
                case JsonValueKind.Object:
                    arguments = given.GetRawText();
                    break;
                case JsonValueKind.String:
                    if (!TryReadArguments(given.GetString()!, out arguments))
                        return false;
                    break;
                case JsonValueKind.Null:
                    break;
                default:
                    return false;
            }
        }
        else if (needsArguments)
        {
            return false;
        }
        call = new(_newCallId(), toolName, arguments);
        return true;
    }

    private static bool TryReadArguments(string json, out string arguments)
    {
        arguments = json.Trim();
        if (arguments.Length == 0)
        {
            arguments = "{}";
            return true;
        }
        try
        {
            using var document = JsonDocument.Parse(arguments);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>The end of the JSON object or array that begins here, strings respected; -1 if it is not in the text yet.</summary>
    private static int JsonEnd(string text, int start)
    {
        var depth = 0;
        for (var i = start; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '{' or '[':
                    depth++;
                    break;
                case '}' or ']':
                    if (--depth == 0)
                        return i + 1;
                    break;
                case '"':
                    for (i++; i < text.Length && text[i] != '"'; i++)
                        if (text[i] == '\\')
                            i++;
                    break;
            }
        }
        return -1;
    }

    private static int SkipSpace(string text, int at)
    {
        while (at < text.Length && char.IsWhiteSpace(text[at]))
            at++;
        return at;
    }

    private static int SkipSeparators(string text, int at)
    {
        while (at < text.Length && (char.IsWhiteSpace(text[at]) || text[at] == ';'))
            at++;
        return at;
    }

    [GeneratedRegex("""^\{\s*"(?<key>[^"\\]*)"(\s*:\s*"(?<value>[^"\\]*)")?""")]
    private static partial Regex FirstKey();

    // The text has come past the first key's place, but there is no such key.
    [GeneratedRegex("""^\{\s*([^"\s]|"[^"\\]*\\)""")]
    private static partial Regex HasFirstKey();

    [GeneratedRegex("""\G(?<name>[\w.\-]+)\s*(\[CALL_ID\]\s*\w*\s*)?(\[ARGS\]\s*)?(?=\{)""")]
    private static partial Regex MistralHead();

    [GeneratedRegex("""^[\w.\-]+\s*(\[[\w\[\]\s]*)?$""")]
    private static partial Regex MistralPartialHead();
}
