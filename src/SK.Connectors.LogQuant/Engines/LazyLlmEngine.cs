using System.Runtime.CompilerServices;
using LocalLlm;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>
/// An engine that loads on first use and that a container can own, whether it is disposed of synchronously or not. Loading starts once
/// however many requests wait for it; a failed load is tried again by the next request.
/// </summary>
internal sealed class LazyLlmEngine : ILlmEngine, IDisposable
{
    private readonly Lock _lock = new();
    private readonly Func<CancellationToken, Task<ILlmEngine>> _load;
    private readonly CancellationTokenSource _disposal = new();
    private readonly string _modelId;
    private Task<ILlmEngine>? _loading;
    private bool _isDisposed;

    /// <param name="modelId">The name by which the model will be reported, known before it is loaded.</param>
    /// <param name="load">Loads the engine, which this object then owns.</param>
    public LazyLlmEngine(string modelId, Func<CancellationToken, Task<ILlmEngine>> load) => (_modelId, _load) = (modelId, load);

    /// <summary>Owns an engine that is loaded already.</summary>
    public LazyLlmEngine(ILlmEngine engine) : this(engine.Model.ModelId, _ => Task.FromResult(engine)) => _loading = Task.FromResult(engine);

    /// <summary>Known at once.</summary>
    public string ModelId => LoadedModel?.ModelId ?? _modelId;

    /// <summary>Null until the model is loaded.</summary>
    public LlmModelInfo? LoadedModel
    {
        get
        {
            var loading = Volatile.Read(ref _loading);
            return loading is { IsCompletedSuccessfully: true } ? loading.Result.Model : null;
        }
    }

    /// <summary>Loads the model if need be, and waits for it.</summary>
    // No context is captured on the way, so waiting here cannot wait for itself.
    public LlmModelInfo Model => LoadedModel ?? Task.Run(() => LoadedAsync(CancellationToken.None)).GetAwaiter().GetResult().Model;

    /// <summary>The engine, loaded. Cancelling ends the wait, not the load, which others may be waiting for.</summary>
    public Task<ILlmEngine> LoadedAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_loading is null or { IsFaulted: true } or { IsCanceled: true })
                _loading = Task.Run(() => _load(_disposal.Token));
            return _loading.WaitAsync(cancellationToken);
        }
    }

    public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var engine = await LoadedAsync(cancellationToken).ConfigureAwait(false);
        await foreach (var update in engine.GenerateAsync(request, cancellationToken).ConfigureAwait(false))
            yield return update;
    }

    public async ValueTask DisposeAsync()
    {
        Task<ILlmEngine>? loading;
        lock (_lock)
        {
            if (_isDisposed)
                return;
            _isDisposed = true;
            loading = _loading;
        }

        await _disposal.CancelAsync().ConfigureAwait(false);
        if (loading is not null)
        {
            await ((Task)loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (loading.IsCompletedSuccessfully)
                await loading.Result.DisposeAsync().ConfigureAwait(false);
        }
        _disposal.Dispose();
    }

    /// <summary>For containers that are disposed of synchronously.</summary>
    public void Dispose() => Task.Run(() => DisposeAsync().AsTask()).GetAwaiter().GetResult();
}
