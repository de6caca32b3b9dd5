namespace LocalLlm.Evaluation.Decoding;

/// <summary>Tokens to run through a model.</summary>
/// <param name="Name">Names it in stored results: the same name must mean the same tokens for the same model.</param>
/// <param name="Ids">The tokens.</param>
/// <param name="Spans">What the model writes in it; empty where that is not known.</param>
internal sealed record EvaluatedText(string Name, IReadOnlyList<int> Ids, IReadOnlyList<WrittenSpan> Spans)
{
    /// <summary>Lengths at which a prompt ends and the model begins to write.</summary>
    public IReadOnlyList<int> PromptEnds { get; } = [.. Spans.Select(s => s.Start)];
}

/// <summary>Tokens that a model writes.</summary>
/// <param name="Start">Index of the first.</param>
/// <param name="End">Index after the last.</param>
/// <param name="Distance">Tokens from the fact that is asked for to <paramref name="Start"/>; 0 where none is.</param>
internal sealed record WrittenSpan(int Start, int End, int Distance);
