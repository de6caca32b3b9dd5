using TorchSharp;

namespace LocalLlm.Tests;

/// <summary>
/// Counts tensors for leak tests: those created less those disposed of by the calling thread. Other tests do not disturb it, and the garbage
/// collector, which disposes on its own thread, cannot hide a leak.
/// </summary>
internal static class LiveTensors
{
    public static long Count => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;
}
