using System.Runtime.InteropServices;

namespace LocalLlm.Interop;

/// <summary>The little of NVIDIA's driver interface that libtorch does not show.</summary>
internal static unsafe class CudaDriver
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];

    /// <summary>Bytes that are free on a GPU, other processes' memory taken off.</summary>
    /// <param name="index">Which GPU, in CUDA's order.</param>
    /// <exception cref="LocalLlmException">The driver does not say.</exception>
    public static long FreeBytes(int index)
    {
        var driver = Names.Select(n => NativeLibrary.TryLoad(n, out var handle) ? handle : 0).FirstOrDefault(h => h != 0);
        if (driver == 0)
            throw new LocalLlmException($"The free memory of GPU {index} is unknown: the driver ({Names[0]}) cannot be loaded. Set KvCache.MemoryBytes to a number of bytes.");
        int device;
        nint context;
        nuint free, total;
        Check(((delegate* unmanaged<uint, int>)Function("cuInit"))(0), "cuInit");
        Check(((delegate* unmanaged<int*, int, int>)Function("cuDeviceGet"))(&device, index), "cuDeviceGet");
        Check(((delegate* unmanaged<nint*, int, int>)Function("cuDevicePrimaryCtxRetain"))(&context, device), "cuDevicePrimaryCtxRetain");
        try
        {
            Check(((delegate* unmanaged<nint, int>)Function("cuCtxPushCurrent_v2"))(context), "cuCtxPushCurrent");
            try
            {
                Check(((delegate* unmanaged<nuint*, nuint*, int>)Function("cuMemGetInfo_v2"))(&free, &total), "cuMemGetInfo");
                return (long)free;
            }
            finally
            {
                nint popped;
                _ = ((delegate* unmanaged<nint*, int>)Function("cuCtxPopCurrent_v2"))(&popped);
            }
        }
        finally
        {
            _ = ((delegate* unmanaged<int, int>)Function("cuDevicePrimaryCtxRelease_v2"))(device);
        }

        nint Function(string name) => NativeLibrary.TryGetExport(driver, name, out var function)
            ? function
            : throw new LocalLlmException($"The free memory of GPU {index} is unknown: the driver has no {name}. Set KvCache.MemoryBytes to a number of bytes.");

        void Check(int result, string name)
        {
            if (result != 0)
                throw new LocalLlmException($"The free memory of GPU {index} is unknown: {name} failed with {result}. Set KvCache.MemoryBytes to a number of bytes.");
        }
    }
}
