namespace LocalLlm;

/// <summary>What computes attention over the KV cache.</summary>
public enum AttentionBackend
{
    /// <summary>The engine's own kernels; on a GPU that cannot run them torch operations, with a warning in the log.</summary>
    Auto,

    /// <summary>torch operations: the reference, on any device, slower.</summary>
    Torch,

    /// <summary>The engine's own kernels for a CPU.</summary>
    Cpu,

    /// <summary>The engine's own kernels for an NVIDIA GPU; where they cannot be used, loading fails.</summary>
    Cuda,
}
