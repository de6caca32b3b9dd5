namespace LocalLlm.Interop;

/// <summary>Figures of a GPU; the driver's CU_DEVICE_ATTRIBUTE_….</summary>
internal enum CudaAttribute
{
    /// <summary>Streaming multiprocessors.</summary>
    MultiprocessorCount = 16,

    /// <summary>The compute capability before the point.</summary>
    ComputeCapabilityMajor = 75,

    /// <summary>The compute capability behind the point.</summary>
    ComputeCapabilityMinor = 76,
}
