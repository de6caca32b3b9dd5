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
