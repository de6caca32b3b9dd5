namespace LocalLlm;

/// <summary>How a model writes tool calls in its answer.</summary>
public enum ToolCallFormat
{
    /// <summary>Not at all, or in no form that is known: everything is text.</summary>
    None,

    /// <summary>JSON between <c>&lt;tool_call&gt;</c> and <c>&lt;/tool_call&gt;</c>: Hermes, Qwen2.5, Qwen3 and many others.</summary>
    Hermes,

    /// <summary>An answer that is nothing but <c>{"name": ..., "parameters": {...}}</c>, several separated by semicolons, with or without <c>&lt;|python_tag|&gt;</c> before: Llama 3.</summary>
    Llama3Json,

    /// <summary><c>[TOOL_CALLS]</c> and a JSON array, or <c>[TOOL_CALLS]name[ARGS]{...}</c>: Mistral.</summary>
    Mistral,

    /// <summary>A JSON array between <c>&lt;|tool_call|&gt;</c> and <c>&lt;|/tool_call|&gt;</c>, or after <c>functools</c>: Phi-4-mini.</summary>
    Phi4,
}
