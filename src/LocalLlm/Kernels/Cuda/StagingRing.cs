using LocalLlm.Interop;

namespace LocalLlm.Kernels.Cuda;

/// <summary>
/// Pinned memory through which bytes go to the device, so that a copy waits for nothing: from other memory the driver may wait for the stream. Two
/// halves take turns; one is written anew when the event behind its last copy has happened. For one thread at a time, in the device's context.
/// </summary>
/// <param name="driver">The driver.</param>
/// <param name="halfBytes">Bytes of a half.</param>
internal sealed unsafe class StagingRing(CudaDriver driver, int halfBytes = StagingRing.DefaultHalfBytes) : IDisposable
{
    /// <summary>More than the tables of a step of some long sequences, so that a half has long been read when its turn comes.</summary>
    public const int DefaultHalfBytes = 4 << 20;

    private readonly nint[] events = new nint[2];
    private nint memory;
    private int half, used;

    /// <summary>Copies bytes to the device on the stream of the launches; they may change once the call returns.</summary>
    /// <param name="target">Address in the device's memory.</param>
    /// <param name="bytes">What to copy.</param>
    /// <exception cref="LocalLlmException">The driver refuses it.</exception>
    public void Copy(nint target, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (memory == 0)
                Allocate();
            if (used == halfBytes)
                TakeOtherHalf();
            var count = Math.Min(bytes.Length, halfBytes - used);
            var staged = memory + ((nint)half * halfBytes) + used;
            bytes[..count].CopyTo(new Span<byte>((void*)staged, count));
            driver.CopyToDevice(target, staged, count);
            bytes = bytes[count..];
            (target, used) = (target + count, used + count);
        }
    }

    /// <summary>Frees the memory once no copy reads it.</summary>
    public void Dispose()
    {
        if (memory != 0)
        {
            try
            {
                driver.RecordEvent(events[half]);
                driver.WaitForEvent(events[half]);
            }
            catch (LocalLlmException)
            {
                // The GPU is lost: nothing reads the memory any more.
            }

            driver.FreeHost(memory);
        }

        foreach (var created in events.Where(e => e != 0))
            driver.DestroyEvent(created);
        (memory, events[0], events[1]) = (0, 0, 0);
    }

    private void Allocate()
    {
        for (var i = 0; i < events.Length; i++)
        {
            if (events[i] == 0)
                events[i] = driver.CreateEvent();
        }

        memory = driver.AllocateHost(2 * (nint)halfBytes);
    }

    private void TakeOtherHalf()
    {
        driver.RecordEvent(events[half]);
        (half, used) = (1 - half, 0);
        driver.WaitForEvent(events[half]); // at once where it was never recorded
    }
}
