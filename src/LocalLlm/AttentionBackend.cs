namespace LocalLlm;

/// <summary>What computes attention over the KV cache.</summary>
public enum AttentionBackend
{
    /// <summary>The engine's own kernels on a CPU, torch operations on a GPU.</summary>
    Auto,

    /// <summary>torch operations: the reference, on any device, slower.</summary>
    Torch,

    /// <summary>The engine's own kernels; a CPU only.</summary>
    Cpu,
}
