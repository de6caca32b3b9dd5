using LocalLlm.Interop;

namespace LocalLlm.Kernels.Cuda;

/// <summary>
/// Launches kernels on a GPU, in libtorch's context and on its stream: they run between torch's own operations in the order of the calls.
/// TorchSharp cannot choose a stream, so torch's current one is always its default, and that is CUDA's legacy default stream, number 0.
/// </summary>
internal sealed unsafe class CudaLauncher : IKernelLauncher
{
    private readonly CudaContext context;
    private readonly KernelCompiler compiler;
    private readonly KernelCache cache;
    private readonly StagingRing staging;
    private readonly Dictionary<CudaKernel, (nint Module, nint Function)> loaded = [];
    private bool isDisposed;

    /// <summary>Prepares a GPU.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="nvrtc">The compiler.</param>
    /// <param name="index">Which GPU, in CUDA's order.</param>
    /// <param name="cache">Keeps compiled kernels.</param>
    /// <exception cref="LocalLlmException">The GPU cannot be used, or is too old.</exception>
    internal CudaLauncher(CudaDriver driver, NvRtc nvrtc, int index, KernelCache cache)
    {
        this.cache = cache;
        context = new CudaContext(driver, index);
        staging = new StagingRing(driver);
        try
        {
            compiler = new KernelCompiler(nvrtc, KernelTarget.Choose(context.ComputeCapability, nvrtc.Architectures, context.Name));
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>Prepares a GPU; libtorch must be loaded.</summary>
    /// <param name="index">Which GPU, in CUDA's order.</param>
    /// <param name="warn">Told of what costs time only.</param>
    /// <exception cref="LocalLlmException">There is no driver, compiler or GPU, or it is too old; the message says the fix.</exception>
    public static CudaLauncher Open(int index, Action<string> warn) =>
        new(CudaDriver.Instance, NvRtc.Find(CudaDriver.Instance.Version / 1000), index, new KernelCache(KernelCache.DefaultFolder, warn));

    /// <inheritdoc/>
    public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        using var scope = context.Enter();
        var function = Function(kernel);
        var parameter = arguments; // on the stack; the driver copies it before it returns
        var result = context.Driver.Launch(function, grid, threads, &parameter);
        if (result != 0)
        {
            throw new LocalLlmException($"The GPU refused the kernel {kernel.Name} (rows {kernel.Rows}, channels {kernel.Channels}) on a grid of "
                + $"{grid.X} x {grid.Y} x {grid.Z} blocks of {threads} threads: {context.Driver.Describe(result)}. "
                + "An error of an earlier kernel may show here; the process must be started anew after it. "
                + "AttentionBackend = Torch works without the kernels.");
        }
    }

    /// <inheritdoc/>
    public void Upload(nint target, ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        using var scope = context.Enter();
        staging.Copy(target, bytes);
    }

    /// <summary>Unloads the kernels; none may run.</summary>
    public void Dispose()
    {
        if (isDisposed)
            return;
        isDisposed = true;
        using (context.Enter())
        {
            staging.Dispose();
            foreach (var (module, _) in loaded.Values)
                context.Driver.UnloadModule(module);
        }

        context.Dispose();
    }

    private nint Function(CudaKernel kernel)
    {
        if (loaded.TryGetValue(kernel, out var known))
            return known.Function;
        var module = context.Driver.LoadModule(cache.Get(compiler.Key(kernel), () => compiler.Compile(kernel)), $"the kernel {kernel.Name}");
        try
        {
            var function = context.Driver.Function(module, kernel.Name);
            loaded.Add(kernel, (module, function));
            return function;
        }
        catch
        {
            context.Driver.UnloadModule(module);
            throw;
        }
    }
}
