namespace LocalLlm.Interop;

/// <summary>A GPU's primary context, which is libtorch's as well: addresses of its tensors are valid in it.</summary>
internal sealed class CudaContext : IDisposable
{
    private readonly int device;
    private readonly nint context;
    private bool isDisposed;

    /// <summary>Retains the context of a GPU.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="index">Which GPU, in CUDA's order.</param>
    /// <exception cref="LocalLlmException">There is no such GPU, or it cannot be used.</exception>
    public CudaContext(CudaDriver driver, int index)
    {
        Driver = driver;
        device = driver.Device(index);
        context = driver.Retain(device);
    }

    /// <summary>The driver.</summary>
    public CudaDriver Driver { get; }

    /// <summary>What NVIDIA calls the GPU.</summary>
    public string Name => Driver.Name(device);

    /// <summary>10 · major + minor.</summary>
    public int ComputeCapability =>
        (10 * Driver.Attribute(device, CudaAttribute.ComputeCapabilityMajor)) + Driver.Attribute(device, CudaAttribute.ComputeCapabilityMinor);

    /// <summary>Streaming multiprocessors.</summary>
    public int Multiprocessors => Driver.Attribute(device, CudaAttribute.MultiprocessorCount);

    /// <summary>Bytes that are free, other processes' memory taken off.</summary>
    public long FreeBytes
    {
        get
        {
            using var scope = Enter();
            return Driver.FreeBytes();
        }
    }

    /// <summary>Makes the context the calling thread's until the scope ends.</summary>
    public Scope Enter()
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        Driver.Push(context);
        return new Scope(Driver);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (isDisposed)
            return;
        isDisposed = true;
        Driver.Release(device);
    }

    /// <summary>Gives the calling thread its former context back.</summary>
    public readonly ref struct Scope(CudaDriver driver)
    {
        /// <summary>Ends the scope.</summary>
        public void Dispose() => driver.Pop();
    }
}
