using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Batching;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks;

/// <summary>A backend that is timed, and a place for the time of sampling.</summary>
internal sealed class TimedAttention(IAttentionBackend backend) : IAttentionBackend
{
    public TimeSpan Attention { get; private set; }

    public TimeSpan Sampling { get; set; }

    public void Reset() => (Attention, Sampling) = (TimeSpan.Zero, TimeSpan.Zero);

    public Tensor Attend(int layer, Tensor q, Tensor k, Tensor v, double scale, int? slidingWindow, StepBatch batch)
    {
        var start = Stopwatch.GetTimestamp();
        var output = backend.Attend(layer, q, k, v, scale, slidingWindow, batch);
        Attention += Stopwatch.GetElapsedTime(start);
        return output;
    }
}
