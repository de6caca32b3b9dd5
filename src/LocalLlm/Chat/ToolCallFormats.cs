using System.Text.Encodings.Web;
using System.Text.Json;

namespace LocalLlm.Chat;

/// <summary>Facts about the forms of tool calls.</summary>
internal static class ToolCallFormats
{
    /// <summary>The form that a template renders earlier calls in; <see cref="ToolCallFormat.None"/> if it is not known.</summary>
    public static ToolCallFormat Detect(string templateSource)
    {
        bool Has(string text) => templateSource.Contains(text, StringComparison.Ordinal);
        return Has("[TOOL_CALLS]") ? ToolCallFormat.Mistral
            : Has("<|tool_call|>") || Has("<|tool|>") || Has("functools[") ? ToolCallFormat.Phi4
            : Has("<tool_call>") ? ToolCallFormat.Hermes
            : Has("<|python_tag|>") || (Has("ipython") && Has("\"parameters\"")) ? ToolCallFormat.Llama3Json
            : ToolCallFormat.None;
    }

    /// <summary>What may begin a call: markers anywhere in the answer, and such as count only at its beginning.</summary>
    public static (IReadOnlyList<string> Anywhere, IReadOnlyList<string> AtStart) Openers(ToolCallFormat format) => format switch
    {
        ToolCallFormat.Hermes => (["<tool_call>"], []),
        ToolCallFormat.Llama3Json => (["<|python_tag|>"], ["{"]),
        ToolCallFormat.Mistral => (["[TOOL_CALLS]"], []),
        ToolCallFormat.Phi4 => (["<|tool_call|>"], ["functools["]),
        _ => ([], []),
    };

    /// <summary>What ends a call, if anything does.</summary>
    public static string? Closer(ToolCallFormat format) => format switch
    {
        ToolCallFormat.Hermes => "</tool_call>",
        ToolCallFormat.Phi4 => "<|/tool_call|>",
        _ => null,
    };

    /// <summary>True if <see cref="Write"/> knows the format.</summary>
    public static bool CanWrite(ToolCallFormat format) => format is ToolCallFormat.Hermes or ToolCallFormat.Llama3Json or ToolCallFormat.Phi4;

    /// <summary>Calls as a model of this format writes them, in pieces that are markers or not.</summary>
    public static IEnumerable<(string Text, bool IsMarker)> Write(ToolCallFormat format, IReadOnlyList<ToolCall> calls)
    {
        var arguments = format == ToolCallFormat.Llama3Json ? "parameters" : "arguments";
        if (format == ToolCallFormat.Phi4)
            yield return ("<|tool_call|>[", true);
        for (var i = 0; i < calls.Count; i++)
        {
            var json = $"{{\"name\": \"{JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(calls[i].Name)}\", \"{arguments}\": {calls[i].ArgumentsJson}}}";
            if (i > 0)
                yield return (format switch { ToolCallFormat.Hermes => "\n", ToolCallFormat.Phi4 => ", ", _ => "; " }, true);
            if (format == ToolCallFormat.Hermes)
                yield return ("<tool_call>\n", true);
            yield return (json, false);
            if (format == ToolCallFormat.Hermes)
                yield return ("\n</tool_call>", true);
        }
        if (format == ToolCallFormat.Phi4)
            yield return ("]<|/tool_call|>", true);
    }

    /// <summary>Texts of the format that a tokenizer may hold as special tokens.</summary>
    public static IReadOnlyList<string> ControlMarkers(ToolCallFormat format) => format switch
    {
        ToolCallFormat.Hermes => ["<tool_call>", "</tool_call>"],
        ToolCallFormat.Llama3Json => ["<|python_tag|>"],
        ToolCallFormat.Mistral => ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
        ToolCallFormat.Phi4 => ["<|tool_call|>", "<|/tool_call|>"],
        _ => [],
    };
}
