using System.Numerics;
using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Device memory that is used over and over by one kernel after the other; it grows to the most that was ever taken.</summary>
/// <param name="device">The device.</param>
internal sealed class DeviceScratch(Device device) : IDisposable
{
    private const long SmallestBytes = 4096;

    private Tensor? memory;

    /// <summary>Bytes that are held.</summary>
    public long Bytes { get; private set; }

    /// <summary>
    /// The address of so many bytes, their content undefined. What was taken before is to be read no more by what is launched from now on.
    /// </summary>
    public nint Take(long bytes)
    {
        if (bytes > Bytes)
        {
            memory?.Dispose();
            Bytes = 0;
            var size = (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(bytes, SmallestBytes));
            memory = empty([size], ScalarType.Byte, device).DetachFromDisposeScope();
            Bytes = size;
        }

        return TensorMemory.Address(memory!);
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        memory?.Dispose();
        (memory, Bytes) = (null, 0);
    }
}
