using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// The work that an engine gives to its GPU: kernels and what they share, its scratch memory and the record of what they find wrong. Copies of rows
/// are collected, so that those of all sequences of a step's layer are one launch. Owned by the engine thread.
/// </summary>
internal sealed class CudaQueue : IDisposable
{
    private readonly List<DeviceRowCopy> copies = [];
    private readonly DeviceScratch copyTable;
    private AppendArguments copyArguments;
    private bool isCollecting;

    /// <summary>Creates the queue.</summary>
    /// <param name="launcher">Launches kernels on the device; disposed of with the queue.</param>
    /// <param name="device">The device.</param>
    public CudaQueue(IKernelLauncher launcher, Device device)
    {
        (Launcher, Device, Faults, copyTable) = (launcher, device, new CudaFaults(device), new DeviceScratch(device));
        (Tables, States, Values) = (new DeviceScratch(device), new DeviceScratch(device), new DeviceScratch(device));
    }

    /// <summary>Launches kernels.</summary>
    public IKernelLauncher Launcher { get; }

    /// <summary>The device.</summary>
    public Device Device { get; }

    /// <summary>What the kernels find wrong.</summary>
    public CudaFaults Faults { get; }

    /// <summary>For the tables of an attention.</summary>
    public DeviceScratch Tables { get; }

    /// <summary>For the states of an attention's parts.</summary>
    public DeviceScratch States { get; }

    /// <summary>For packed values on their way to a page.</summary>
    public DeviceScratch Values { get; }

    /// <summary>Bytes of device memory beside the caches.</summary>
    public long Bytes => Faults.Bytes + copyTable.Bytes + Tables.Bytes + States.Bytes + Values.Bytes;

    /// <summary>Copies rows, or looks at them: at once, or with <see cref="Flush"/> where copies are collected.</summary>
    /// <param name="source">What to copy; its memory must last until then.</param>
    /// <param name="copy">The addresses.</param>
    public void Copy(in TokenRows source, DeviceRowCopy copy)
    {
        var arguments = new AppendArguments(0, source.Heads, source.HeadDim, source.Type);
        if (copies.Count > 0 && arguments != copyArguments)
            Flush();
        copyArguments = arguments;
        copies.Add(copy);
        if (!isCollecting)
            Flush();
    }

    /// <summary>Launches a kernel, after the copies so far.</summary>
    public void Launch<T>(CudaKernel kernel, (int X, int Y, int Z) grid, int threads, in T arguments)
        where T : unmanaged
    {
        Flush();
        Launcher.Launch(kernel, grid, threads, arguments);
    }

    /// <summary>Collects copies from now on.</summary>
    public void Collect() => isCollecting = true;

    /// <summary>Launches what was collected and collects no more.</summary>
    public void EndCollecting()
    {
        isCollecting = false;
        Flush();
    }

    /// <summary>Frees the memory, and the launcher.</summary>
    public void Dispose()
    {
        Faults.Dispose();
        copyTable.Dispose();
        Tables.Dispose();
        States.Dispose();
        Values.Dispose();
        Launcher.Dispose();
    }

    private void Flush()
    {
        if (copies.Count == 0)
            return;
        try
        {
            var table = MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(copies));
            var address = copyTable.Take(table.Length);
            Launcher.Upload(address, table);
            var tiles = (copies.Max(c => (int)c.Tokens) + AppendArguments.BlockTokens - 1) / AppendArguments.BlockTokens;
            Launcher.Launch(new CudaKernel("append_rows"), (copies.Count, copyArguments.Heads, tiles), 128, copyArguments with { Copies = address });
        }
        finally
        {
            copies.Clear(); // their memory may not last
        }
    }
}
