using System.Runtime.CompilerServices;
using LocalLlm;
using SK.Connectors.LogQuant.Hosting;
using SK.Connectors.LogQuant.Telemetry;

namespace SK.Connectors.LogQuant.Engines;

/// <summary>
/// An engine that loads on first use and that a container can own, whether it is disposed of synchronously or not. Loading starts once
/// however many requests wait for it; a failed load is tried again by the next request. Its requests pass a gate, so that they can be drained,
/// and are measured.
/// </summary>
internal sealed partial class LazyLlmEngine : ILlmEngine, ITextEmbedder, IConversationStore, IDisposable
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

    /// <summary>What its requests pass through.</summary>
    public RequestGate Gate { get; } = new();

    /// <summary>What measures its loads and requests; null if nothing does.</summary>
    public EngineTelemetry? Telemetry { get; init; }

    /// <summary>How far its load has come; null if that is not told.</summary>
    public LoadProgressLog? Progress { get; init; }

    /// <summary>How far it is from answering.</summary>
    public EngineState State
    {
        get
        {
            lock (_lock)
            {
                return _isDisposed ? EngineState.Disposed : _loading switch
                {
                    null => EngineState.NotLoaded,
                    { IsCompletedSuccessfully: true } => EngineState.Ready,
                    { IsCompleted: true } => EngineState.LoadFailed,
                    _ => EngineState.Loading,
                };
            }
        }
    }

    /// <summary>Why the last load failed; null if it did not.</summary>
    public Exception? LoadError => Volatile.Read(ref _loading)?.Exception?.GetBaseException();

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
                _loading = Task.Run(LoadAsync);
            return _loading.WaitAsync(cancellationToken);
        }
    }

    private Task<ILlmEngine> LoadAsync() =>
        Telemetry is null ? _load(_disposal.Token) : Telemetry.LoadAsync(ModelId, () => _load(_disposal.Token));

    public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        Gate.Enter();
        var measured = Telemetry?.Begin(request);
        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Gate.Aborted);
            IAsyncEnumerator<GenerationUpdate>? updates = null;
            try
            {
                while (true)
                {
                    try
                    {
                        updates ??= (await LoadedAsync(stop.Token).ConfigureAwait(false)).GenerateAsync(request, stop.Token).GetAsyncEnumerator(stop.Token);
                        if (!await updates.MoveNextAsync().ConfigureAwait(false))
                            break;
                    }
                    catch (OperationCanceledException e) when (Gate.Aborted.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
                    {
                        var error = new LocalLlmException("The application was shut down before the answer was complete "
                            + $"({nameof(LogQuantShutdownOptions)}.{nameof(LogQuantShutdownOptions.GracePeriod)} was over).", e);
                        measured?.Fail(ModelId, error);
                        throw error;
                    }
                    catch (Exception e)
                    {
                        measured?.Fail(ModelId, e);
                        throw;
                    }

                    if (updates.Current is GenerationCompleted completed)
                        measured?.Complete(ModelId, completed);
                    yield return updates.Current;
                }
            }
            finally
            {
                if (updates is not null)
                    await updates.DisposeAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            measured?.Abandon(ModelId);
            Gate.Leave();
        }
    }

    /// <summary>Loads the model if need be, and waits for it.</summary>
    public int EmbeddingDimensions => Embedder(Task.Run(() => LoadedAsync(CancellationToken.None)).GetAwaiter().GetResult()).EmbeddingDimensions;

    public Task<EmbeddingResult> EmbedAsync(
        IReadOnlyList<string> texts, EmbeddingOptions? options = null, CancellationToken cancellationToken = default) =>
        PassAsync((engine, token) => Embedder(engine).EmbedAsync(texts, options, token), "the texts were embedded", cancellationToken);

    private static ITextEmbedder Embedder(ILlmEngine engine) => engine as ITextEmbedder
        ?? throw new NotSupportedException($"The engine is a {engine.GetType()}, which is no {nameof(ITextEmbedder)} and so cannot embed.");

    public EngineStatistics? GetStatistics()
    {
        var loading = Volatile.Read(ref _loading);
        return loading is { IsCompletedSuccessfully: true } ? loading.Result.GetStatistics() : null;
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
        Gate.Dispose();
    }

    /// <summary>For containers that are disposed of synchronously.</summary>
    public void Dispose() => Task.Run(() => DisposeAsync().AsTask()).GetAwaiter().GetResult();
}
