namespace LocalLlm.Kernels.Cpu;

/// <summary>How the numbers that kernels read and write lie in memory.</summary>
internal enum NumberType
{
    /// <summary>IEEE single.</summary>
    Float32,

    /// <summary>The upper half of an IEEE single.</summary>
    BFloat16,

    /// <summary>IEEE half.</summary>
    Float16,
}
