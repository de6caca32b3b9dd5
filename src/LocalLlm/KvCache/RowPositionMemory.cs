using LocalLlm.Interop;
using LocalLlm.KvCache.Policies;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// The positions of a cache's rows in its device's memory, where a sliding window asks for them. They change with a compaction only: a row that is
/// added follows the one before.
/// </summary>
/// <param name="device">The cache's device.</param>
internal sealed class RowPositionMemory(Device device) : IDisposable
{
    private Tensor? positions;
    private int evicted = -1;

    /// <summary>
    /// The address of int32 [ReservedRows]: the position of each row of a cache of <paramref name="length"/> tokens, and of those that can follow
    /// before a compaction.
    /// </summary>
    public nint Of(ResidencyPolicy policy, int length)
    {
        positions ??= empty([policy.ReservedRows], ScalarType.Int32, device).DetachFromDisposeScope();
        if (evicted != policy.EvictedAt(length))
        {
            evicted = policy.EvictedAt(length);
            var rows = policy.RowPositionsAt(length) with { Count = policy.ReservedRows };
            using var source = tensor(rows.ToArray());
            positions.copy_(source, nonBlocking: true);
        }

        return TensorMemory.Address(positions);
    }

    /// <inheritdoc/>
    public void Dispose() => positions?.Dispose();
}
