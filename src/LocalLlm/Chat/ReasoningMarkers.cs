namespace LocalLlm.Chat;

/// <summary>What begins and ends a model's reasoning.</summary>
internal sealed record ReasoningMarkers(string Open, string Close)
{
    /// <summary>The form of nearly all reasoning models.</summary>
    public static ReasoningMarkers Think { get; } = new("<think>", "</think>");

    /// <summary>The markers that a template writes or looks for.</summary>
    public static ReasoningMarkers Detect(string templateSource) =>
        templateSource.Contains("[THINK]", StringComparison.Ordinal) ? new("[THINK]", "[/THINK]")
        : templateSource.Contains("<seed:think>", StringComparison.Ordinal) ? new("<seed:think>", "</seed:think>")
        : Think;

    /// <summary>
    /// True if a model of this template may begin its answer with reasoning: the template knows it, and the prompt has not closed it.
    /// </summary>
    public bool MayFollow(string templateSource, IReadOnlyList<PromptSegment> prompt) =>
        templateSource.Contains(Close, StringComparison.Ordinal)
        && !(prompt.Count > 0 && prompt[^1].IsTemplate && prompt[^1].Text.AsSpan().TrimEnd().EndsWith(Close, StringComparison.Ordinal));

    /// <summary>
    /// True if the prompt leaves the reasoning open, so that the answer begins inside it. Only the template's own text counts: a message
    /// that ends in the marker does not.
    /// </summary>
    public bool StartsInReasoning(IReadOnlyList<PromptSegment> prompt) =>
        prompt.Count > 0 && prompt[^1].IsTemplate && prompt[^1].Text.AsSpan().TrimEnd().EndsWith(Open, StringComparison.Ordinal);
}
