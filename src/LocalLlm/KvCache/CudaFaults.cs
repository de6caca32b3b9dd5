using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// What kernels found wrong, in the device's memory: a number for each write that can go wrong. Nobody waits for it until the end
/// of a step, when all are read at once.
/// </summary>
/// <param name="device">The device.</param>
internal sealed class CudaFaults(Device device) : IDisposable
{
    private const int ChunkWrites = 1024;

    private readonly List<Tensor> chunks = []; // int32 [ChunkWrites] each; int.MaxValue: nothing is wrong
    private readonly List<WriteFault> writes = []; // those since the last Read

    /// <summary>Whose writes those that follow are.</summary>
    public object? Owner { get; set; }

    /// <summary>Bytes of device memory.</summary>
    public long Bytes => chunks.Count * (long)ChunkWrites * sizeof(int);

    /// <summary>Where a kernel says by the least index what is wrong with a write.</summary>
    public nint Add(WriteFault write)
    {
        if (writes.Count == chunks.Count * ChunkWrites)
            chunks.Add(full([ChunkWrites], int.MaxValue, ScalarType.Int32, device).DetachFromDisposeScope());
        var (chunk, index) = Math.DivRem(writes.Count, ChunkWrites);
        writes.Add(write with { Owner = Owner });
        return TensorMemory.Address(chunks[chunk]) + (index * sizeof(int));
    }

    /// <summary>Waits for all that was launched. What was added is forgotten.</summary>
    /// <returns>What is wrong, in the order of the writes: the writes' owners with their errors.</returns>
    public IReadOnlyList<(object? Owner, LocalLlmException Error)> Read()
    {
        var found = new List<(object?, LocalLlmException)>();
        for (var first = 0; first < writes.Count; first += ChunkWrites)
        {
            var chunk = chunks[first / ChunkWrites];
            using var host = chunk.cpu();
            var indexes = host.data<int>().ToArray().AsSpan(0, Math.Min(ChunkWrites, writes.Count - first));
            for (var i = 0; i < indexes.Length; i++)
            {
                if (indexes[i] != int.MaxValue)
                    found.Add((writes[first + i].Owner, writes[first + i].ToException(indexes[i])));
            }

            if (found.Count > 0)
                chunk.fill_(int.MaxValue);
        }

        writes.Clear();
        return found;
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        foreach (var chunk in chunks)
            chunk.Dispose();
        chunks.Clear();
    }
}
