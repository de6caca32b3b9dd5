using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Kernels.Cuda;

/// <summary>Where an engine has its kernels' launcher from.</summary>
internal static class CudaKernels
{
    /// <summary>Opens the launcher of a GPU.</summary>
    /// <exception cref="LocalLlmException">Its kernels cannot be had; the message says why.</exception>
    public static IKernelLauncher Open(Device device) => device.type != DeviceType.CUDA
        ? throw new LocalLlmException($"'{device}' is no CUDA device.")
        : throw new LocalLlmException("this build has no bindings to NVRTC and the CUDA driver.");
}
