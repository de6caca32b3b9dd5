using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>The engines that a container has made so far; one for each container.</summary>
internal sealed class EngineRegistry
{
    private readonly Lock _lock = new();
    private readonly List<LazyLlmEngine> _engines = [];
    private bool _isClosed;

    /// <summary>A copy of the list.</summary>
    public IReadOnlyList<LazyLlmEngine> Engines
    {
        get
        {
            lock (_lock)
                return [.. _engines];
        }
    }

    public LazyLlmEngine Add(LazyLlmEngine engine)
    {
        lock (_lock)
        {
            _engines.Add(engine);
            if (_isClosed)
                engine.Gate.Close();
        }
        return engine;
    }

    /// <summary>No engine takes new requests any more, those made later neither.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosed = true;
            foreach (var engine in _engines)
                engine.Gate.Close();
        }
    }
}
