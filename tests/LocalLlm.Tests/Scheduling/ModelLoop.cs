using System.Text.Json.Nodes;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using LocalLlm.Scheduling;
using LocalLlm.Sessions;
using LocalLlm.Tests.Kernels.Cuda;
using LocalLlm.Tests.Loading;
using LocalLlm.Tests.Models;
using LocalLlm.Tokenization;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Scheduling;

/// <summary>A small random model, and engine loops over it with real caches.</summary>
internal sealed class ModelLoop : IDisposable
{
    /// <summary>Tokens of the vocabulary: letters.</summary>
    public const int Vocabulary = 40;

    private readonly CheckpointWriter writer = new();
    private readonly WorkerTeam team = new(2);
    private readonly DecoderModel model;
    private readonly bool useKernels;
    private readonly CudaQueue? queue;

    public ModelLoop(AttentionBackend backend, WeightType type, JsonObject? fields = null)
    {
        LibTorch.EnsureLoaded();
        var config = RandomCheckpoint.Config("Qwen3ForCausalLM", fields ?? new() { ["max_position_embeddings"] = 2048 });
        writer.WriteModel(config, RandomCheckpoint.Tensors(config, "BF16"));
        var letters = string.Join(", ", Enumerable.Range(0, Vocabulary - 1).Select(i => $"\"{(char)(i < 26 ? 'a' + i : 'A' + i - 26)}\": {i}"));
        File.WriteAllText(Path.Combine(writer.FolderPath, "tokenizer.json"), $$"""
            {"added_tokens": [{"id": 39, "content": "<end>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
             "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}, "post_processor": null,
             "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": { {{letters}} }, "merges": []} }
            """);
        Tokenizer = TextTokenizer.Load(writer.FolderPath);
        using var folder = ModelFolder.Open(writer.FolderPath);
        model = DecoderModel.Load(folder, CPU, type, team: team);
        useKernels = backend == AttentionBackend.Cpu;
        queue = backend == AttentionBackend.Cuda ? new CudaQueue(new EmulatedLauncher(), CPU) : null;
    }

    public TextTokenizer Tokenizer { get; }

    public KvShape Shape => ModelRun.Shape(model);

    /// <summary>A loop with a pool of its own.</summary>
    public (EngineLoop Loop, KvPool Pool) Start(KvCacheOptions cache, long? memoryBytes, int maxSequences, int prefillChunk, Action<StepBatch, Tensor>? observe = null,
        string? spillDirectory = null,
        Func<IAttentionBackend, IAttentionBackend>? wrap = null, Action<long>? allocating = null)
    {
        var pool = new KvPool(memoryBytes, allocating);
        var caches = new KvCacheFactory(cache, Shape, useKernels, pool, queue);
        IAttentionBackend attention = queue is not null ? new CudaAttention(queue) : useKernels ? new CpuAttention(team) : new TorchAttention();
        attention = wrap?.Invoke(attention) ?? attention;
        var loop = new EngineLoop(
            new EngineLoopOptions
            {
                MaxSequences = maxSequences,
                PrefillChunkTokens = prefillChunk,
                RetainedConversations = cache.RetainedConversations,
                Pool = pool,
                CreateCache = caches.Create,
                CacheBytes = caches.PeakBytesFor,
                KeepPromptEnds = cache.Kind != KvCacheKind.Dense,
                KvBytesPerTokenFp16 = Shape.TokenBytesFp16,
                Device = CPU,
                Spill = spillDirectory is null ? null : new CacheSpill(
                    new SpillStore(spillDirectory, null, new byte[32], NullLogger.Instance), caches.Load, caches.CanTruncate, NullLogger.Instance),
            },
            batch =>
            {
                var logits = model.Forward(batch, attention);
                observe?.Invoke(batch, logits);
                return logits;
            },
            Tokenizer, NullLogger.Instance);
        return (loop, pool);
    }

    /// <summary>A greedy sequence; with 0 tokens one that computes its prompt only.</summary>
    public Sequence Sequence(int[] prompt, int maxTokens, int priority = 0, int maxUnread = 256, string? saveName = null) => new(
        new SequenceRequest
        {
            PromptIds = prompt,
            ContinuesText = true,
            MaxTokens = maxTokens,
            Priority = priority,
            MaxUnread = maxUnread,
            SaveName = saveName,
            Sampling = SamplingSettings.Resolve(SamplingOptions.Greedy, new SamplingOptions()),
            StopSequences = [],
            EndIds = new HashSet<int>(),
            VisibleSpecialIds = new HashSet<int> { 39 },
        },
        Tokenizer);

    /// <summary>Reads a sequence to its end.</summary>
    public static async Task<(string Text, EndEvent End)> ReadAsync(Sequence sequence)
    {
        var text = "";
        await foreach (var item in sequence.ReadAllAsync())
        {
            if (item is EndEvent end)
                return (text + end.Text, end);
            text += ((TokenEvent)item).Text;
        }

        throw new InvalidOperationException("no end");
    }

    public void Dispose()
    {
        queue?.Dispose();
        model.Dispose();
        team.Dispose();
        writer.Dispose();
    }
}
