namespace LocalLlm.Kernels.Cuda;

/// <summary>What kernels are compiled for.</summary>
/// <param name="Architecture">The compute capability, 10 · major + minor.</param>
/// <param name="IsPtx">Whether the result is PTX, which the driver compiles to the end, and not a cubin.</param>
internal readonly record struct KernelTarget(int Architecture, bool IsPtx)
{
    /// <summary>The least compute capability that the kernels are for: the first with bfloat16.</summary>
    public const int LeastCapability = 80;

    /// <summary>The value of NVRTC's option --gpu-architecture.</summary>
    public string Option => (IsPtx ? "compute_" : "sm_") + Architecture;

    /// <summary>What to compile for a device: it itself, or the newest before it that the compiler knows, and the driver does the rest.</summary>
    /// <param name="capability">The device's compute capability, 10 · major + minor.</param>
    /// <param name="supported">What the compiler compiles for.</param>
    /// <param name="device">The device's name, for messages.</param>
    /// <exception cref="LocalLlmException">The device is too old for the kernels or for the compiler.</exception>
    public static KernelTarget Choose(int capability, IReadOnlyCollection<int> supported, string device)
    {
        if (capability < LeastCapability)
        {
            throw new LocalLlmException($"The CUDA kernels need a GPU of compute capability {LeastCapability / 10}.{LeastCapability % 10} or newer "
                + $"(NVIDIA Ampere); {device} has {capability / 10}.{capability % 10}. AttentionBackend = Torch runs on it.");
        }

        if (supported.Contains(capability))
            return new KernelTarget(capability, IsPtx: false);
        var older = supported.Where(a => a < capability).DefaultIfEmpty().Max();
        return older >= LeastCapability
            ? new KernelTarget(older, IsPtx: true)
            : throw new LocalLlmException($"The NVRTC that was found compiles for compute capabilities {string.Join(", ", supported)}, "
                + $"and {device} has {capability}: install a matching CUDA version. AttentionBackend = Torch works without it.");
    }
}
