using System.Text;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;

namespace LocalLlm.Evaluation.Generation;

/// <summary>The engine with one method's cache. Loaded when the first answer is asked for; answers greedily.</summary>
/// <param name="source">The model.</param>
/// <param name="method">The method.</param>
/// <param name="settings">How the engine runs.</param>
internal sealed class MethodEngine(ModelSource source, Method method, EngineSettings settings) : IAsyncDisposable
{
    private readonly SemaphoreSlim loading = new(1);
    private readonly MethodCaches caches = method.For(EngineMethods.Shape(source));
    private LlmEngine? engine;

    /// <summary>Answers a request.</summary>
    /// <exception cref="LocalLlmException">The engine failed.</exception>
    public async Task<GeneratedAnswer> AnswerAsync(GenerationRequest request, CancellationToken cancellationToken)
    {
        var loaded = await LoadAsync(cancellationToken);
        var text = new StringBuilder();
        GenerationCompleted? end = null;
        await foreach (var update in loaded.GenerateAsync(request with { Sampling = SamplingOptions.Greedy }, cancellationToken))
        {
            if (update is TextDelta delta)
                text.Append(delta.Text);
            else if (update is GenerationCompleted completed)
                end = completed;
        }

        var (usage, isCut) = (end!.Usage, end.FinishReason == FinishReason.Length);
        var bits = caches.BitsOver(usage.PromptTokens + usage.CompletionTokens, [usage.PromptTokens]);
        return new(text.ToString(), usage.PromptTokens, usage.CompletionTokens, isCut, bits.Average, bits.Peak);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        loading.Dispose();
        if (engine is not null)
            await engine.DisposeAsync();
    }

    private async Task<LlmEngine> LoadAsync(CancellationToken cancellationToken)
    {
        await loading.WaitAsync(cancellationToken);
        try
        {
            return engine ??= await LlmEngine.LoadAsync(
                new LlmEngineOptions
                {
                    ModelPath = source.Folder,
                    Device = settings.Device,
                    Threads = settings.Threads,
                    MaxSequences = settings.Concurrent,
                    ContextTokens = settings.ContextTokens,
                    // Nothing is retained: an answer must not depend on what was asked before it.
                    KvCache = method.Options with { RetainedConversations = 0 },
                },
                cancellationToken: cancellationToken);
        }
        finally
        {
            loading.Release();
        }
    }
}

/// <summary>How the engine runs.</summary>
/// <param name="Device">Where.</param>
/// <param name="Threads">With how many threads, on a CPU.</param>
/// <param name="Concurrent">How many requests side by side.</param>
/// <param name="ContextTokens">The context; null for the model's.</param>
internal sealed record EngineSettings(string Device, int Threads, int Concurrent, int? ContextTokens)
{
    /// <summary>Reads --device, --concurrent and --context.</summary>
    public static EngineSettings Parse(Arguments arguments) => new(
        arguments.Text("device") ?? "cpu", arguments.Threads, arguments.Number("concurrent", 1, most: 1024),
        arguments.Number("context", 0, least: 0) is var context and > 0 ? context : null);
}
