using System.Runtime.InteropServices;
using System.Text;

namespace LocalLlm.Interop;

/// <summary>
/// The little of NVIDIA's driver interface that libtorch does not show. Called by pointers that are looked up in a library by name, not by declared
/// imports: a process without a GPU never asks for the library, and the tests' stand-in is loaded beside the real one.
/// </summary>
internal sealed unsafe class CudaDriver
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];
    private static readonly Lazy<CudaDriver> Shared = new(Open);

    private readonly nint library;
    private readonly delegate* unmanaged<int, byte**, int> getErrorName, getErrorString;
    private readonly delegate* unmanaged<int*, int> getVersion;
    private readonly delegate* unmanaged<int*, int, int> getDevice;
    private readonly delegate* unmanaged<byte*, int, int, int> getName;
    private readonly delegate* unmanaged<int*, int, int, int> getAttribute;
    private readonly delegate* unmanaged<nint*, int, int> retainPrimary;
    private readonly delegate* unmanaged<int, int> releasePrimary;
    private readonly delegate* unmanaged<nint, int> pushCurrent;
    private readonly delegate* unmanaged<nint*, int> popCurrent;
    private readonly delegate* unmanaged<nuint*, nuint*, int> getMemory;
    private readonly delegate* unmanaged<nint*, void*, int> loadModule;
    private readonly delegate* unmanaged<nint, int> unloadModule;
    private readonly delegate* unmanaged<nint*, nint, byte*, int> getFunction;
    private readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> launch;
    private readonly delegate* unmanaged<nint, void*, nuint, nint, int> copyToDevice;
    private readonly delegate* unmanaged<nint*, nuint, uint, int> allocateHost;
    private readonly delegate* unmanaged<nint, int> freeHost, waitForEvent, destroyEvent;
    private readonly delegate* unmanaged<nint*, uint, int> createEvent;
    private readonly delegate* unmanaged<nint, nint, int> recordEvent;

    /// <summary>Looks the functions up and starts the driver.</summary>
    /// <param name="library">The loaded library.</param>
    /// <exception cref="LocalLlmException">It is not NVIDIA's, is too old, or finds no GPU.</exception>
    internal CudaDriver(nint library)
    {
        this.library = library;
        getErrorName = (delegate* unmanaged<int, byte**, int>)Export("cuGetErrorName");
        getErrorString = (delegate* unmanaged<int, byte**, int>)Export("cuGetErrorString");
        getVersion = (delegate* unmanaged<int*, int>)Export("cuDriverGetVersion");
        getDevice = (delegate* unmanaged<int*, int, int>)Export("cuDeviceGet");
        getName = (delegate* unmanaged<byte*, int, int, int>)Export("cuDeviceGetName");
        getAttribute = (delegate* unmanaged<int*, int, int, int>)Export("cuDeviceGetAttribute");
        retainPrimary = (delegate* unmanaged<nint*, int, int>)Export("cuDevicePrimaryCtxRetain");
        releasePrimary = (delegate* unmanaged<int, int>)Export("cuDevicePrimaryCtxRelease_v2");
        pushCurrent = (delegate* unmanaged<nint, int>)Export("cuCtxPushCurrent_v2");
        popCurrent = (delegate* unmanaged<nint*, int>)Export("cuCtxPopCurrent_v2");
        getMemory = (delegate* unmanaged<nuint*, nuint*, int>)Export("cuMemGetInfo_v2");
        loadModule = (delegate* unmanaged<nint*, void*, int>)Export("cuModuleLoadData");
        unloadModule = (delegate* unmanaged<nint, int>)Export("cuModuleUnload");
        getFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Export("cuModuleGetFunction");
        launch = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)Export("cuLaunchKernel");
        copyToDevice = (delegate* unmanaged<nint, void*, nuint, nint, int>)Export("cuMemcpyHtoDAsync_v2");
        allocateHost = (delegate* unmanaged<nint*, nuint, uint, int>)Export("cuMemHostAlloc");
        freeHost = (delegate* unmanaged<nint, int>)Export("cuMemFreeHost");
        createEvent = (delegate* unmanaged<nint*, uint, int>)Export("cuEventCreate");
        recordEvent = (delegate* unmanaged<nint, nint, int>)Export("cuEventRecord");
        waitForEvent = (delegate* unmanaged<nint, int>)Export("cuEventSynchronize");
        destroyEvent = (delegate* unmanaged<nint, int>)Export("cuEventDestroy_v2");
        Check(((delegate* unmanaged<uint, int>)Export("cuInit"))(0), "cuInit found no NVIDIA GPU that it can use");
    }

    /// <summary>The process's driver, loaded at the first call.</summary>
    /// <exception cref="LocalLlmException">There is none, or it finds no GPU.</exception>
    public static CudaDriver Instance => Shared.Value;

    /// <summary>The CUDA version that the driver knows: 1000 · major + 10 · minor.</summary>
    public int Version
    {
        get
        {
            int version;
            Check(getVersion(&version), "cuDriverGetVersion failed");
            return version;
        }
    }

    /// <summary>Bytes that are free on a GPU, other processes' memory taken off.</summary>
    /// <param name="index">Which GPU, in CUDA's order.</param>
    /// <exception cref="LocalLlmException">The driver does not say.</exception>
    public static long FreeBytes(int index)
    {
        try
        {
            using var context = new CudaContext(Instance, index);
            return context.FreeBytes;
        }
        catch (LocalLlmException e)
        {
            throw new LocalLlmException($"The free memory of GPU {index} is unknown. {e.Message} Set KvCache.MemoryBytes to a number of bytes.", e);
        }
    }

    /// <summary>The driver's handle of a GPU.</summary>
    public int Device(int index)
    {
        int device;
        Check(getDevice(&device, index), $"cuDeviceGet({index}) failed");
        return device;
    }

    /// <summary>What NVIDIA calls a GPU.</summary>
    public string Name(int device)
    {
        const int length = 256;
        var name = stackalloc byte[length];
        Check(getName(name, length, device), "cuDeviceGetName failed");
        return Text(name);
    }

    /// <summary>A figure of a GPU.</summary>
    public int Attribute(int device, CudaAttribute attribute)
    {
        int value;
        Check(getAttribute(&value, (int)attribute, device), $"cuDeviceGetAttribute({attribute}) failed");
        return value;
    }

    /// <summary>Makes a GPU's primary context, or finds the one that libtorch made: the same memory and streams.</summary>
    public nint Retain(int device)
    {
        nint context;
        Check(retainPrimary(&context, device), "cuDevicePrimaryCtxRetain failed");
        return context;
    }

    /// <summary>Takes a retained context back. What fails here has no remedy: it is not told.</summary>
    public void Release(int device) => _ = releasePrimary(device);

    /// <summary>Makes a context the calling thread's.</summary>
    public void Push(nint context) => Check(pushCurrent(context), "cuCtxPushCurrent failed");

    /// <summary>Gives the calling thread its context before <see cref="Push"/> back.</summary>
    public void Pop()
    {
        nint popped;
        _ = popCurrent(&popped);
    }

    /// <summary>Bytes that are free on the current context's GPU.</summary>
    public long FreeBytes()
    {
        nuint free, total;
        Check(getMemory(&free, &total), "cuMemGetInfo failed");
        return (long)free;
    }

    /// <summary>Loads compiled code, a cubin or PTX, into the current context.</summary>
    /// <param name="image">The code; PTX ends with a zero byte.</param>
    /// <param name="what">Whose code, for the message.</param>
    public nint LoadModule(ReadOnlySpan<byte> image, string what)
    {
        nint module;
        fixed (byte* bytes = image)
            Check(loadModule(&module, bytes), $"The driver (CUDA {Version / 1000}.{Version % 1000 / 10}) does not load {what}");
        return module;
    }

    /// <summary>Unloads what <see cref="LoadModule"/> loaded.</summary>
    public void UnloadModule(nint module) => _ = unloadModule(module);

    /// <summary>A function of a module.</summary>
    public nint Function(nint module, string name)
    {
        nint function;
        fixed (byte* bytes = Encoding.ASCII.GetBytes(name + '\0'))
            Check(getFunction(&function, module, bytes), $"The compiled code has no kernel {name}");
        return function;
    }

    /// <summary>Launches a kernel of one parameter on the legacy default stream of the current context.</summary>
    /// <returns>The driver's code; 0 for success.</returns>
    public int Launch(nint function, (int X, int Y, int Z) grid, int threads, void* parameter) => launch(
        function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, 1, 1, 0, 0, &parameter, null);

    /// <summary>Copies to the device on the legacy default stream of the current context, from memory of <see cref="AllocateHost"/> without waiting.</summary>
    public void CopyToDevice(nint target, nint source, int bytes) =>
        Check(copyToDevice(target, (void*)source, (nuint)bytes, 0), $"The copy of {bytes} bytes to the GPU failed");

    /// <summary>Memory of the process that the GPU reads by itself.</summary>
    public nint AllocateHost(nint bytes)
    {
        nint memory;
        Check(allocateHost(&memory, (nuint)bytes, 0), $"{bytes} bytes of pinned memory cannot be had");
        return memory;
    }

    /// <summary>Frees what <see cref="AllocateHost"/> gave, once the GPU reads it no more.</summary>
    public void FreeHost(nint memory) => _ = freeHost(memory);

    /// <summary>An event without a time; nothing was recorded.</summary>
    public nint CreateEvent()
    {
        const uint disableTiming = 2;
        nint created;
        Check(createEvent(&created, disableTiming), "cuEventCreate failed");
        return created;
    }

    /// <summary>Lets an event happen when all that was given to the legacy default stream has ended.</summary>
    public void RecordEvent(nint recorded) => Check(recordEvent(recorded, 0), "cuEventRecord failed");

    /// <summary>Waits until an event has happened; returns at once where it was never recorded.</summary>
    public void WaitForEvent(nint recorded) => Check(
        waitForEvent(recorded), "An earlier kernel failed, and the process must be started anew; AttentionBackend = Torch works without the kernels");

    /// <summary>Ends what <see cref="CreateEvent"/> made.</summary>
    public void DestroyEvent(nint created) => _ = destroyEvent(created);

    /// <summary>A code by its name and meaning.</summary>
    public string Describe(int result)
    {
        byte* name = null;
        byte* text = null;
        _ = getErrorName(result, &name);
        _ = getErrorString(result, &text);
        return name is null ? $"error {result}" : $"{Text(name)}: {(text is null ? "no description" : Text(text))}";
    }

    /// <summary>A function of the library.</summary>
    /// <exception cref="LocalLlmException">It has none of this name.</exception>
    public nint Export(string name) => NativeLibrary.TryGetExport(library, name, out var function)
        ? function
        : throw new LocalLlmException(
            $"NVIDIA's driver has no {name}: it is too old. Install a newer one (nvidia-smi shows the version), or take Device = cpu.");

    private static CudaDriver Open()
    {
        foreach (var name in Names)
        {
            if (NativeLibrary.TryLoad(name, out var handle))
                return new CudaDriver(handle);
        }

        throw new LocalLlmException($"NVIDIA's driver cannot be loaded ({string.Join(", ", Names)}): it is not installed here, or the container was started "
            + "without its GPUs. Install it, or take Device = cpu.");
    }

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    private void Check(int result, string what)
    {
        if (result != 0)
            throw new LocalLlmException($"{what} ({Describe(result)}).");
    }
}
