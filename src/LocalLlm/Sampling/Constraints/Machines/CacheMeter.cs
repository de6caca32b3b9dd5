namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>Counts what a compiled grammar keeps for speed alone.</summary>
internal sealed class CacheMeter
{
    /// <summary>Bytes kept.</summary>
    public long Bytes { get; private set; }

    public void Add(long bytes) => Bytes += bytes;

    public void Reset() => Bytes = 0;
}
