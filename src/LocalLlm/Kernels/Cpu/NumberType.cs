namespace LocalLlm.Kernels.Cpu;

/// <summary>How a number lies in memory.</summary>
internal enum NumberType
{
    /// <summary>IEEE single.</summary>
    Float32,

    /// <summary>The upper half of an IEEE single.</summary>
    BFloat16,

    /// <summary>IEEE half.</summary>
    Float16,
}
