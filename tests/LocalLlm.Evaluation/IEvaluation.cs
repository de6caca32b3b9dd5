namespace LocalLlm.Evaluation;

/// <summary>
/// One evaluation. It stores each finished unit of work at once, does none again that the store holds, and writes its tables at the end.
/// </summary>
internal interface IEvaluation
{
    /// <summary>Its command.</summary>
    string Name { get; }

    /// <summary>Runs it.</summary>
    Task RunAsync(EvaluationRun run, CancellationToken cancellationToken);
}
