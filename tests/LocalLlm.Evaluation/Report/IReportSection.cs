using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Report;

/// <summary>One evaluation's part of docs/evaluation.md, written from stored results alone. It begins with a heading of level 2.</summary>
internal interface IReportSection
{
    /// <summary>What --only calls it: its command, if it has one of its own.</summary>
    string Name { get; }

    /// <summary>Its heading.</summary>
    string Title { get; }

    /// <summary>Sections come in this order.</summary>
    int Order { get; }

    /// <summary>What of it belongs to the page's beginning: a sentence and a picture. Nothing without results.</summary>
    void Lead(ReportWriter report, ResultStore store)
    {
    }

    /// <summary>Writes it. Without results it says which command makes them (<see cref="ReportWriter.NoResults"/>).</summary>
    void Write(ReportWriter report, ResultStore store);
}
