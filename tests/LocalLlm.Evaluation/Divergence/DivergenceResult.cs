using LocalLlm.Evaluation.Decoding;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>What is stored of one method on one text. Row i is the distribution after token i.</summary>
/// <param name="Window">The method's window.</param>
/// <param name="AverageBits">Bits per element of keys and values, averaged over the run.</param>
/// <param name="PeakBits">The most bits at any length, per element of the whole run.</param>
/// <param name="Kl">Of each row, KL(full precision ‖ method) in nats.</param>
/// <param name="Disagreements">Rows whose most probable token is another.</param>
/// <param name="Spans">What the model writes.</param>
internal sealed record DivergenceResult(
    int Window, double AverageBits, double PeakBits, IReadOnlyList<float> Kl, IReadOnlyList<int> Disagreements,
    IReadOnlyList<WrittenSpan> Spans)
{
    /// <summary>Rows that predict what the model writes.</summary>
    public IEnumerable<int> WrittenRows => Spans.SelectMany(Rows);

    /// <summary>Rows that predict a span's tokens.</summary>
    public static IEnumerable<int> Rows(WrittenSpan span) => Enumerable.Range(span.Start - 1, span.End - span.Start);
}
