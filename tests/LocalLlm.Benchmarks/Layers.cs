namespace LocalLlm.Benchmarks;

/// <summary>Several of the same thing, more than the processor's caches hold, to be used in turns.</summary>
internal sealed class Layers<T> : IDisposable where T : IDisposable
{
    private const long MemoryBytes = 128 << 20;

    private readonly List<T> layers = [];
    private int next;

    public Layers(Func<T> create, Func<T, long> bytes)
    {
        do
            layers.Add(create());
        while (layers.Sum(bytes) < MemoryBytes);
    }

    public T Next() => layers[next++ % layers.Count];

    public void Dispose() => layers.ForEach(l => l.Dispose());
}
