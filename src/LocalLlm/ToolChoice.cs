namespace LocalLlm;

/// <summary>Whether an answer calls tools. Enforced by masking tokens: what is not allowed cannot be written.</summary>
public sealed record ToolChoice
{
    private ToolChoice(bool mayCall, bool mustCall, string? name) => (MayCall, MustCall, FunctionName) = (mayCall, mustCall, name);

    /// <summary>The model decides; a call that it makes is valid against the tool's schema.</summary>
    public static ToolChoice Auto { get; } = new(mayCall: true, mustCall: false, null);

    /// <summary>The tools are shown but cannot be called.</summary>
    public static ToolChoice None { get; } = new(mayCall: false, mustCall: false, null);

    /// <summary>The answer is one or more calls of any of the tools.</summary>
    public static ToolChoice Required { get; } = new(mayCall: true, mustCall: true, null);

    /// <summary>The answer is one or more calls of this tool, which is among the request's.</summary>
    /// <param name="name">The tool's name.</param>
    public static ToolChoice Function(string name) => new(mayCall: true, mustCall: true, name);

    /// <summary>A call can be made.</summary>
    public bool MayCall { get; }

    /// <summary>A call must be made.</summary>
    public bool MustCall { get; }

    /// <summary>The only tool that can be called; null for any.</summary>
    public string? FunctionName { get; }
}
