namespace LocalLlm.Benchmarks;

/// <summary>Several of the same thing, more than the processor's caches hold, to be used in turns.</summary>
internal sealed class Layers<T> : IDisposable where T : IDisposable
{
    private readonly List<T> layers = [];
    private int next;

    public Layers(Func<T> create, Func<T, long> bytes, long memoryBytes = 128 << 20)
    {
        do
            layers.Add(create());
        while (layers.Sum(bytes) < memoryBytes);
    }

    public T Next() => layers[next++ % layers.Count];

    public void Dispose() => layers.ForEach(l => l.Dispose());
}
