namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>Whether an answer holds reasoning.</summary>
internal enum ReasoningState
{
    /// <summary>The model does not reason, or the prompt has closed it.</summary>
    None,

    /// <summary>The model may begin with it.</summary>
    Possible,

    /// <summary>The prompt has opened it.</summary>
    Open,
}

/// <summary>Everything that a grammar of a whole answer depends on.</summary>
internal sealed record AnswerForm
{
    /// <summary>How calls are spelled.</summary>
    public CallSpelling Spelling { get; init; }

    /// <summary>The tools of the request.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Which of them may or must be called.</summary>
    public ToolChoice Choice { get; init; } = ToolChoice.Auto;

    /// <summary>Whether there may be more than one call.</summary>
    public bool AllowParallelCalls { get; init; } = true;

    /// <summary>What the answer's text must be; null for any.</summary>
    public OutputConstraint? Constraint { get; init; }

    /// <summary>Whether reasoning comes first.</summary>
    public ReasoningState Reasoning { get; init; }

    /// <summary>What begins reasoning.</summary>
    public string ReasoningOpen { get; init; } = "<think>";

    /// <summary>What ends it.</summary>
    public string ReasoningClose { get; init; } = "</think>";

    /// <summary>True if anything about the answer is to be enforced.</summary>
    public bool IsConstrained => Constraint is not null || (Tools.Count > 0 && Spelling != CallSpelling.None);

    /// <summary>The tools that may be called.</summary>
    public IEnumerable<ToolDefinition> Callable => Tools.Where(t => Choice.MayCall && (Choice.FunctionName is null || Choice.FunctionName == t.Name));
}
