namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>How exactly the calls of a model are written: some forms of <see cref="ToolCallFormat"/> have more than one spelling.</summary>
internal enum CallSpelling
{
    /// <summary>Not known: nothing can be enforced.</summary>
    None,

    /// <summary><c>&lt;tool_call&gt;{"name": ..., "arguments": ...}&lt;/tool_call&gt;</c>, one after the other.</summary>
    Hermes,

    /// <summary><c>{"name": ..., "parameters": ...}</c>, semicolons between.</summary>
    Llama3Json,

    /// <summary><c>[TOOL_CALLS][{"name": ..., "arguments": ...}]</c>.</summary>
    MistralArray,

    /// <summary><c>[TOOL_CALLS]name[ARGS]{...}</c>, one after the other.</summary>
    MistralArguments,

    /// <summary><c>&lt;|tool_call|&gt;[{"name": ..., "arguments": ...}]&lt;|/tool_call|&gt;</c>.</summary>
    Phi4,

    /// <summary><c>functools[{"name": ..., "arguments": ...}]</c>.</summary>
    Functools,
}

/// <summary>Finds the spelling of calls.</summary>
internal static class CallSpellings
{
    /// <summary>The spelling that a template of the format shows.</summary>
    public static CallSpelling Of(ToolCallFormat format, string templateSource) => format switch
    {
        ToolCallFormat.Hermes => CallSpelling.Hermes,
        ToolCallFormat.Llama3Json => CallSpelling.Llama3Json,
        ToolCallFormat.Mistral when templateSource.Contains("[ARGS]", StringComparison.Ordinal) => CallSpelling.MistralArguments,
        ToolCallFormat.Mistral => CallSpelling.MistralArray,
        ToolCallFormat.Phi4 when templateSource.Contains("functools[", StringComparison.Ordinal) => CallSpelling.Functools,
        ToolCallFormat.Phi4 => CallSpelling.Phi4,
        _ => CallSpelling.None,
    };
}
