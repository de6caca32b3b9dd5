using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using LocalLlm.Scheduling;
using LocalLlm.Tokenization;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// Many long conversations at once, dense and LogQuant caches in the same budget of bytes: a random-weight model of a known shape in bf16
/// behind the engine's loop and its pool. The caches hold random keys and values, appended as a model's would be, for a prefill of them all would
/// take hours; then each conversation gets a turn and answers.
/// </summary>
internal sealed class ServeComparison(ServeScale scale) : IComparison
{
    private static readonly (string Name, KvCacheOptions Options)[] Kinds =
        [("dense", new KvCacheOptions { Kind = KvCacheKind.Dense }), ("LogQuant", new KvCacheOptions())];

    public static ServeComparison Parse(Arguments arguments)
    {
        var quick = arguments.Flag("quick");
        var shape = ModelShape.Parse(arguments.Text("shape"));
        return new(new ServeScale(
            arguments.Numbers("contexts", quick ? [1024] : [1024, 8192, 32768], least: 512, most: 131072),
            arguments.Numbers("conversations", quick ? [1, 8] : [1, 2, 4, 8, 16]), Budget(arguments.Text("budget") ?? (quick ? "256MiB" : "2GiB")),
            arguments.Number("turn", quick ? 16 : 64, most: 128), arguments.Number("answer", quick ? 8 : 32, least: 2, most: 128),
            arguments.Number("layers", quick ? 4 : shape.Layers), shape, Device(arguments.Text("device") ?? "cpu")));
    }

    private static string Device(string name) =>
        TorchDevice.IsForm(name) ? name : throw new ArgumentException($"--device is {TorchDevice.Forms}; got '{name}'.");

    private static long Budget(string text) => MemoryBudget.TryParse(text, out var budget) && budget.Bytes is { } bytes
        ? bytes
        : throw new ArgumentException($"--budget takes bytes, such as 2GiB; got '{text}'.");

    public Table Run(Machine machine)
    {
        var device = TorchDevice.Resolve(scale.Device);
        var table = new Table($"a turn of {scale.Turn} tokens and an answer of {scale.Answer} in each of several conversations, "
            + $"caches within {scale.Budget / (1 << 20)} MiB, {scale.Shape.Name}'s shape with {scale.Layers} layers, bf16, {device}: "
            + machine.Description);
        using var mode = inference_mode();
        using var files = new RandomModel(scale.Shape, scale.Layers);
        using var folder = ModelFolder.Open(files.FolderPath);
        var isCpu = device.type == TorchSharp.DeviceType.CPU;
        using var model = DecoderModel.Load(folder, device, WeightType.BFloat16, team: isCpu ? machine.Team : null);
        using var attention = AttentionSetup.Create(
            new LlmEngineOptions { ModelPath = files.FolderPath, Device = scale.Device },
            new KvShape(model.Config.Layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, device), model.Config.QueryHeads, isCpu ? machine.Team : null);
        if (attention.Warning is { } warning)
            Console.Error.WriteLine(warning);
        var tokenizer = TextTokenizer.Load(files.FolderPath);
        foreach (var (_, options) in Kinds)
            _ = Serve(model, attention, tokenizer, options, scale.Contexts[0], 1); // the first run pays for the just-in-time compiler
        foreach (var context in scale.Contexts)
        {
            var fits = Kinds.Select(k => Fits(model, attention, k.Options, context)).ToArray();
            var served = Kinds.Select(_ => new Dictionary<int, ServedTurns>()).ToArray();
            foreach (var count in scale.Conversations)
            {
                for (var kind = 0; kind < Kinds.Length; kind++)
                {
                    var running = Math.Min(count, fits[kind].Conversations);
                    if (running > 0 && !served[kind].ContainsKey(running))
                        served[kind].Add(running, Serve(model, attention, tokenizer, Kinds[kind].Options, context, running));
                    Add(table, context, count, kind, fits, served);
                }
            }
        }

        return table;
    }

    // Those that wait for a place add nothing to what is decoded side by side: a row is of as many as fit.
    private static void Add(
        Table table, int context, int count, int kind, (int Conversations, long EachBytes)[] fits, Dictionary<int, ServedTurns>[] served)
    {
        var running = Math.Min(count, fits[kind].Conversations);
        List<(string, object?)> figures =
            [("context", context), ("cache", Kinds[kind].Name), ("conversations", count), ("fits", fits[kind].Conversations), ("running", running)];
        if (served[kind].GetValueOrDefault(running) is { } turns)
        {
            figures.AddRange(
            [
                ("tokens_per_s", turns.TokensPerSecond), ("first_token_ms", turns.FirstTokenMs), ("last_first_token_ms", turns.LastFirstTokenMs),
                ("between_tokens_ms", turns.MedianBetweenMs), ("between_tokens_p99_ms", turns.P99BetweenMs),
                ("kv_mb_each", turns.KvBytes / 1e6 / running),
                ("ratio_one", served[kind].TryGetValue(1, out var one) ? turns.TokensPerSecond / one.TokensPerSecond : null),
            ]);
            if (kind > 0 && served[0].GetValueOrDefault(Math.Min(count, fits[0].Conversations)) is { } dense)
            {
                figures.AddRange(
                [
                    ("ratio_dense", turns.TokensPerSecond / dense.TokensPerSecond),
                    ("fits_ratio_dense", (double)fits[kind].Conversations / fits[0].Conversations),
                    ("tokens_in_bytes_ratio_dense", (double)fits[0].EachBytes / fits[kind].EachBytes),
                ]);
            }
        }

        table.Add([.. figures]);
    }

    /// <summary>
    /// How many conversations the pool takes, as the loop admits them: each needs room for its way to the context, and then holds what it reserved.
    /// </summary>
    private (int Conversations, long EachBytes) Fits(DecoderModel model, AttentionSetup attention, KvCacheOptions options, int context)
    {
        using var pool = new KvPool(scale.Budget);
        var factory = new KvCacheFactory(options, Shape(model), attention.UsesCpuKernels, pool, attention.Queue);
        var caches = new List<IKvCache>();
        while (factory.PeakBytesFor(context) <= pool.FreeBytes)
        {
            caches.Add(factory.Create());
            caches[^1].Reserve(context);
        }

        caches.ForEach(c => c.Dispose());
        return (caches.Count, factory.BytesFor(context));
    }

    private ServedTurns Serve(
        DecoderModel model, AttentionSetup attention, TextTokenizer tokenizer, KvCacheOptions options, int context, int count)
    {
        var pool = new KvPool(scale.Budget); // the loop's
        var factory = new KvCacheFactory(options, Shape(model), attention.UsesCpuKernels, pool, attention.Queue);
        var depth = context - scale.Turn - scale.Answer;
        var start = 0L;
        using var loop = new EngineLoop(
            new EngineLoopOptions
            {
                MaxSequences = count,
                PrefillChunkTokens = new LlmEngineOptions { ModelPath = "" }.PrefillChunkTokens,
                RetainedConversations = 0, // what a retained copy would take is not what is measured
                Pool = pool,
                CreateCache = () =>
                {
                    // As if the conversation had been computed or read back before: the loop goes on where its cache ends.
                    var cache = factory.Create();
                    ModelSteps.Fill(cache, factory.Shape, depth);
                    return cache;
                },
                CacheBytes = factory.PeakBytesFor,
                KeepPromptEnds = false,
                KvBytesPerTokenFp16 = factory.Shape.TokenBytesFp16,
                Device = model.Device,
            },
            batch =>
            {
                // All have their caches once the first step runs, for all of them fit.
                if (start == 0)
                    start = Stopwatch.GetTimestamp();
                return model.Forward(batch, attention.Backend);
            },
            tokenizer, NullLogger.Instance);
        // The loop waits until all are there, so that none of them is filled while others are served.
        using var allSubmitted = new ManualResetEventSlim();
        loop.Submit(new Gate(allSubmitted));
        var sequences = Enumerable.Range(0, count).Select(i => Sequence(tokenizer, depth, i)).ToList();
        sequences.ForEach(loop.Submit);
        allSubmitted.Set();
        var readings = sequences.ConvertAll(s => Task.Run(() => ReadAsync(s)));
        var times = Task.WhenAll(readings).GetAwaiter().GetResult();
        return new ServedTurns(start, times, loop.Statistics().Preemptions == 0
            ? readings.Sum(r => r.Result.KvBytes)
            : throw new InvalidOperationException("Conversations that fit made way for each other."));
    }

    private Sequence Sequence(TextTokenizer tokenizer, int depth, int number) => new(
        new SequenceRequest
        {
            PromptIds = [.. Enumerable.Range(0, depth + scale.Turn).Select(t => ((t * 7919) + number) % 100_000)],
            ContinuesText = true,
            MaxTokens = scale.Answer,
            Sampling = SamplingSettings.Resolve(SamplingOptions.Greedy, new SamplingOptions()),
            StopSequences = [],
            EndIds = new HashSet<int>(),
            VisibleSpecialIds = new HashSet<int>(),
        },
        tokenizer);

    private static async Task<TurnTimes> ReadAsync(Sequence sequence)
    {
        var tokens = new List<long>();
        await foreach (var item in sequence.ReadAllAsync())
        {
            if (item is EndEvent end)
                return new TurnTimes(tokens, end.Usage.KvBytes);
            tokens.Add(Stopwatch.GetTimestamp());
        }

        throw new InvalidOperationException("A conversation had no end.");
    }

    private KvShape Shape(DecoderModel model) => new(scale.Layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, model.Device);

    /// <summary>A job that holds the engine's thread until it is let go.</summary>
    private sealed class Gate(ManualResetEventSlim opened) : IEngineJob
    {
        public bool HoldsMemory => false;

        public JobProgress Step(Func<IKvCache, int, bool> tryReserve)
        {
            opened.Wait();
            return JobProgress.Done;
        }

        public void Fail(Exception error)
        {
        }
    }
}

/// <summary>How much a run serves.</summary>
/// <param name="Contexts">Tokens of a conversation at the end of its answer.</param>
/// <param name="Conversations">How many at once.</param>
/// <param name="Budget">Bytes of all caches.</param>
/// <param name="Turn">Tokens of the prompt that is new.</param>
/// <param name="Answer">Tokens of the answer.</param>
/// <param name="Layers">Of the model.</param>
/// <param name="Shape">Of the model.</param>
/// <param name="Device">Where it runs.</param>
internal sealed record ServeScale(
    int[] Contexts, int[] Conversations, long Budget, int Turn, int Answer, int Layers, ModelShape Shape, string Device);
