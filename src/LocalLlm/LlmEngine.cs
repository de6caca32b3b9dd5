using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using LocalLlm.Chat;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using LocalLlm.Scheduling;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm;

/// <summary>
/// A model loaded from a Hugging Face folder, with a KV cache that keeps whole conversations in little memory. Safe for concurrent use: requests
/// are decoded side by side on one engine thread, and a follow-up turn continues the cache of the turn before.
/// </summary>
public sealed partial class LlmEngine : ILlmEngine, ITextEmbedder
{
    private readonly DecoderModel model;
    private readonly WorkerTeam? team;
    private readonly AttentionSetup attention;
    private readonly EngineLoop loop;
    private readonly PromptEncoder prompts;
    private readonly TextEmbedder embedder;
    private readonly CacheSpill? spill; // the loop's to dispose of
    private readonly int retainedConversations;
    private int isDisposed;

    private LlmEngine(LlmModelInfo info, DecoderModel model, WorkerTeam? team, AttentionSetup attention, EngineLoop loop, PromptEncoder prompts,
        TextEmbedder embedder, CacheSpill? spill, int retainedConversations)
    {
        (Model, this.model, this.team, this.attention, this.loop, this.prompts) = (info, model, team, attention, loop, prompts);
        (this.embedder, this.spill, this.retainedConversations) = (embedder, spill, retainedConversations);
    }

    /// <inheritdoc/>
    public LlmModelInfo Model { get; }

    /// <summary>Loads a model.</summary>
    /// <param name="options">What to load and how to run it.</param>
    /// <param name="progress">Told of every step of the load; from another thread.</param>
    /// <param name="loggerFactory">For the engine's log.</param>
    /// <param name="cancellationToken">Ends the load; nothing stays behind.</param>
    /// <exception cref="ArgumentException">Options are wrong; all are named at once.</exception>
    /// <exception cref="ModelLoadException">The folder is wrong; all that is wrong is listed.</exception>
    /// <exception cref="LibTorchLoadException">libtorch could not be loaded.</exception>
    public static Task<LlmEngine> LoadAsync(LlmEngineOptions options, IProgress<LoadProgress>? progress = null, ILoggerFactory? loggerFactory = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        EngineOptionsValidator.ThrowIfInvalid(options);
        options = options with { KvCache = options.KvCache with { } }; // the caller may change its own meanwhile
        var logger = (loggerFactory ?? NullLoggerFactory.Instance).CreateLogger<LlmEngine>();
        return Task.Run(() => Load(options, progress, logger, cancellationToken), cancellationToken);
    }

    private static LlmEngine Load(LlmEngineOptions options, IProgress<LoadProgress>? progress, ILogger logger, CancellationToken cancellationToken)
    {
        using var folder = ModelFolder.Open(options.ModelPath);
        var tokenizer = folder.TokenizerJsonPath is null && folder.TokenizerModelPath is null ? null : folder.Check(() => TextTokenizer.Load(folder.FolderPath));
        var embedding = folder.ReadSentenceTransformers();
        var chat = tokenizer is null ? null : folder.Check(() => ChatFormat.TryLoad(folder.FolderPath, tokenizer.SpecialTokenTexts, options.ToolCallFormat));
        cancellationToken.ThrowIfCancellationRequested();

        LibTorch.EnsureLoaded(options.LibTorchPath);
        // What the cache will refuse is better known before gigabytes are read; the type is known later, and takes no less room than this one.
        if (folder.Config is { } early)
            _ = new KvCacheFactory(options.KvCache, new KvShape(early.Layers, early.KvHeads, early.HeadDim, ScalarType.BFloat16, CPU, folder.CacheBits));
        set_num_threads(options.Threads ?? LibTorch.DefaultThreads);
        var device = TorchDevice.Resolve(options.Device);
        // As many as libtorch takes: the two never work at the same time.
        var team = device.type == TorchSharp.DeviceType.CPU ? new WorkerTeam(get_num_threads()) : null;
        DecoderModel? model = null;
        AttentionSetup? attention = null;
        try
        {
            model = DecoderModel.Load(folder, device, options.WeightType, options.ContextTokens, progress, team, cancellationToken);
            if (model.RowKernels is { } kernels)
                LogKernels(logger, kernels.Path, team!.Threads);
            var config = model.Config;
            var shape = new KvShape(config.Layers, config.KvHeads, config.HeadDim, model.Type, model.Device, folder.CacheBits);
            using (inference_mode())
                attention = AttentionSetup.Create(options, shape, config.QueryHeads, team, warning => LogWarning(logger, warning));
            return Create(options, folder, tokenizer!, chat, embedding, model, team, attention, shape, logger);
        }
        catch
        {
            attention?.Dispose();
            model?.Dispose();
            team?.Dispose();
            throw;
        }
    }

    private static LlmEngine Create(LlmEngineOptions options, ModelFolder folder, TextTokenizer tokenizer, ChatFormat? chat, SentenceTransformersConfig embedding,
        DecoderModel model, WorkerTeam? team, AttentionSetup attention, KvShape shape, ILogger logger)
    {
        var config = model.Config;
        var memoryBytes = FreeMemory.Resolve(options.KvCache.MemoryBytes, model.Device);
        var pool = new KvPool(memoryBytes);
        var caches = new KvCacheFactory(options.KvCache, shape, attention.UsesCpuKernels, pool, attention.Queue);
        var info = new LlmModelInfo
        {
            ModelId = options.ModelId ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(folder.FolderPath)),
            Architecture = config.Architecture.Name,
            ContextTokens = model.ContextTokens,
            ParameterCount = model.ParameterCount,
            Device = model.Device.ToString(),
            KvBits = caches.KvBits,
            KvBytesPerTokenFp16 = caches.Shape.TokenBytesFp16,
        };
        var endIds = folder.EosTokenIds.Concat(tokenizer.EosId is { } eos ? [eos] : []).ToHashSet();
        var prompts = new PromptEncoder(tokenizer, chat, folder.Generation?.Sampling ?? new SamplingOptions(), endIds, info.ContextTokens, config.VocabSize, caches,
            memoryBytes, TimeProvider.System);
        LogLoaded(logger, info.ModelId, info.Architecture, info.ParameterCount / 1e6, info.Device, info.ContextTokens, options.KvCache.Kind);
        if (caches.IsTuned)
            LogTuned(logger, CacheBitsConfig.FileName);
        LogMemory(logger, memoryBytes / (double)(1 << 20), caches.PeakBytesFor(info.ContextTokens) / (double)(1 << 20));
        LogAttention(logger, attention.Description);
        if (attention.Warning is { } warning)
            LogWarning(logger, warning);
        var spill = OpenSpill(options.KvCache, folder, caches, info, logger);
        var loop = new EngineLoop(
            new EngineLoopOptions
            {
                MaxSequences = options.MaxSequences,
                PrefillChunkTokens = options.PrefillChunkTokens,
                RetainedConversations = options.KvCache.RetainedConversations,
                MaxQueuedRequests = options.MaxQueuedRequests,
                MaxQueueTime = options.MaxQueueTime,
                Pool = pool,
                CreateCache = caches.Create,
                CacheBytes = caches.PeakBytesFor,
                KeepPromptEnds = options.KvCache.Kind != KvCacheKind.Dense,
                KvBytesPerTokenFp16 = info.KvBytesPerTokenFp16,
                Device = model.Device,
                AttentionTime = () => model.AttentionTime,
                Spill = spill,
            },
            batch => model.Forward(batch, attention.Backend), tokenizer, logger);
        var dense = new DenseMemory(pool, caches.Shape);
        var embedder = new TextEmbedder(
            loop, tokenizer, embedding,
            new EmbeddingJobOptions
            {
                StepTokens = options.PrefillChunkTokens,
                CreateCache = () => new DenseKvCache(caches.Shape, dense, caches.Operations),
                Hidden = batch => model.Hidden(batch, attention.Backend),
                Device = model.Device,
            },
            config.HiddenSize, info.ContextTokens, config.VocabSize, tokens => DenseKvCache.BytesFor(caches.Shape, tokens), memoryBytes);
        return new LlmEngine(info, model, team, attention, loop, prompts, embedder, spill, options.KvCache.RetainedConversations);
    }

    private static CacheSpill? OpenSpill(KvCacheOptions options, ModelFolder folder, KvCacheFactory caches, LlmModelInfo info, ILogger logger)
    {
        if (options.SpillDirectory is not { } directory)
            return null;
        try
        {
            // The context's length too: some models rotate by it.
            var format = string.Create(CultureInfo.InvariantCulture, $"{caches.Fingerprint}, context {info.ContextTokens}");
            var fingerprint = SHA256.HashData([.. ModelFingerprint.Of(folder.FolderPath), .. Encoding.UTF8.GetBytes(format)]);
            return new CacheSpill(new SpillStore(directory, options.SpillBytes?.Bytes, fingerprint, logger), caches.Load, caches.CanTruncate, logger);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new LocalLlmException($"KvCache.SpillDirectory is '{directory}', which cannot be used: {e.Message} Name a directory that can be made and written to.", e);
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Loaded {ModelId} ({Architecture}, {Parameters:F1}M parameters) on {Device}: {ContextTokens} tokens of context, "
        + "{Kind} KV cache")]
    private static partial void LogLoaded(ILogger logger, string modelId, string architecture, double parameters, string device, int contextTokens, KvCacheKind kind);

    [LoggerMessage(Level = LogLevel.Information, Message = "Memory for KV caches: {Limit:F1} MiB; a conversation that fills the context takes {Context:F1} MiB")]
    private static partial void LogMemory(ILogger logger, double limit, double context);

    [LoggerMessage(Level = LogLevel.Information, Message = "Attention: {Backend}")]
    private static partial void LogAttention(ILogger logger, string backend);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Warning}")]
    private static partial void LogWarning(ILogger logger, string warning);

    [LoggerMessage(Level = LogLevel.Information, Message = "The bits of each layer's pages are those of {File}; KvCache.KeyBits, SlowKeyBits or ValueBits set others")]
    private static partial void LogTuned(ILogger logger, string file);

    [LoggerMessage(Level = LogLevel.Information, Message = "CPU kernels: {Path}, {Threads} threads")]
    private static partial void LogKernels(ILogger logger, SimdPath path, int threads);

    /// <inheritdoc/>
    public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        ObjectDisposedException.ThrowIf(isDisposed != 0, this);
        RequireHead();
        cancellationToken.ThrowIfCancellationRequested();

        var prompt = prompts.Encode(request);
        var parser = prompt.Parser;
        var sequence = new Sequence(prompt.Sequence, prompts.Tokenizer);
        loop.Submit(sequence);
        var isEnded = false;
        var answer = new AnswerRecord();
        var reasoningTokens = 0;
        try
        {
            await foreach (var item in sequence.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                var (text, end) = item switch
                {
                    TokenEvent token => (token.Text, null),
                    EndEvent last => (last.Text, last),
                    _ => throw new InvalidOperationException($"Unknown event {item}"),
                };
                if (item is TokenEvent && parser is { InReasoning: true })
                    reasoningTokens++;
                if (item is TokenEvent { Logprobs: { } logprobs })
                    yield return ToUpdate(logprobs, prompts.Tokenizer);
                isEnded |= end is not null;
                foreach (var update in Parse(parser, text, end?.FinishReason))
                {
                    answer.Add(update);
                    yield return update;
                }

                if (end is not null)
                {
                    prompts.Remember(prompt, end.SampledIds, answer.ToMessage());
                    var reason = answer.HasToolCalls && end.FinishReason == FinishReason.Stop ? FinishReason.ToolCalls : end.FinishReason;
                    yield return new GenerationCompleted(reason, end.Usage with { ReasoningTokens = reasoningTokens });
                }
            }
        }
        finally
        {
            if (!isEnded)
            {
                sequence.Cancel();
                loop.Wake();
            }
        }
    }

    /// <inheritdoc/>
    public int EmbeddingDimensions => model.Config.HiddenSize;

    /// <inheritdoc/>
    public Task<EmbeddingResult> EmbedAsync(IReadOnlyList<string> texts, EmbeddingOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ObjectDisposedException.ThrowIf(isDisposed != 0, this);
        return embedder.EmbedAsync([.. texts], options ?? new EmbeddingOptions(), cancellationToken);
    }

    private void RequireHead()
    {
        if (!model.Config.Architecture.HasHead)
            throw new NotSupportedException($"'{Model.ModelId}' is a {Model.Architecture}, which has no output projection and so cannot generate text; it can embed.");
    }

    private static LogprobUpdate ToUpdate(SampledLogprobs sampled, TextTokenizer tokenizer)
    {
        var (text, bytes) = Read(sampled.Id);
        return new LogprobUpdate(new TokenLogprob(sampled.Id, text, bytes, sampled.Logprob, [.. sampled.Top.Select(t =>
        {
            var (topText, topBytes) = Read(t.Id);
            return new TokenAlternative(t.Id, topText, topBytes, t.Logprob);
        })]));

        // Padding rows of the vocabulary have no token; their text is empty.
        (string Text, ReadOnlyMemory<byte> Bytes) Read(int id)
        {
            var bytes = tokenizer.IsToken(id) ? tokenizer.TokenBytes(id) : default;
            return (Encoding.UTF8.GetString(bytes.Span), bytes);
        }
    }

    private static List<GenerationUpdate> Parse(ChatOutputParser? parser, string text, FinishReason? end)
    {
        if (parser is null)
            return text.Length > 0 ? [new TextDelta(text)] : [];
        List<GenerationUpdate> updates = [.. parser.Add(text)];
        if (end is not null)
            updates.AddRange(parser.Finish(isCutShort: end == FinishReason.Length));
        return updates;
    }

    /// <inheritdoc cref="ILlmEngine.GetStatistics"/>
    public EngineStatistics GetStatistics() => loop.Statistics();

    /// <inheritdoc/>
    EngineStatistics? ILlmEngine.GetStatistics() => GetStatistics();

    /// <summary>Stops the engine thread and gives all memory back. Unfinished generations end with an error.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) != 0)
            return;
        await Task.Run(loop.Dispose).ConfigureAwait(false);
        attention.Dispose();
        model.Dispose();
        team?.Dispose();
    }
}
