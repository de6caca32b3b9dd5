using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Results;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Memory;

/// <summary>What a cache of one model shape and method holds at one length.</summary>
/// <param name="Window">The method's window.</param>
/// <param name="Tokens">The length.</param>
/// <param name="Bytes">Of codes, scales, positions and rows.</param>
/// <param name="ReservedBytes">Of the memory that the cache takes, reserved and not yet filled included.</param>
/// <param name="DenseBytes">Of an uncompressed cache of the length.</param>
internal sealed record MemoryResult(int Window, int Tokens, long Bytes, long ReservedBytes, long DenseBytes);

/// <summary>Bytes of the caches of well-known models, with 16-bit rows. Arithmetic alone; no model is needed.</summary>
internal sealed class MemoryEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "memory";

    /// <summary>The length at which the methods' bytes are made equal.</summary>
    public const int EqualTokens = 4096;

    private static readonly int[] DefaultLengths = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072];

    private readonly int[] lengths;

    // As a part of "all" it has its own lengths: --tokens is for what runs models.
    private MemoryEvaluation(Arguments arguments) =>
        lengths = arguments.Command == Command ? arguments.Numbers("tokens", DefaultLengths, most: 1 << 24) : DefaultLengths;

    /// <summary>The shapes, by the models' names.</summary>
    public static IReadOnlyList<(string Model, int Layers, int KvHeads, int HeadDim)> Shapes { get; } =
        [("Llama-3.1-8B", 32, 8, 128), ("Qwen3-8B", 36, 8, 128), ("Phi-3-mini", 32, 32, 96)];

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new MemoryEvaluation(arguments);

    /// <inheritdoc/>
    public Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        LibTorch.EnsureLoaded();
        foreach (var (model, layers, kvHeads, headDim) in Shapes)
        {
            var shape = new KvShape(layers, kvHeads, headDim, ScalarType.BFloat16, CPU);
            var table = new Table($"memory, {model}: {layers} layers, {kvHeads} KV heads of {headDim}; "
                + $"windows for equal bytes at {EqualTokens} tokens; GiB without what is only reserved");
            foreach (var method in MethodCatalog.EqualBytes(run.Methods(MethodCatalog.All), shape, EqualTokens))
            {
                cancellationToken.ThrowIfCancellationRequested();
                var results = lengths.Select(l => Stored(run.Store, model, shape, method, l)).ToArray();
                var last = results[^1];
                List<(string, object?)> figures =
                    [("method", method.Id), ("W", method.Options.Window), ("bytes/token at the longest", (double)last.Bytes / last.Tokens)];
                figures.AddRange(results.Select(r => (Length(r.Tokens), (object?)(r.Bytes / (double)(1 << 30)))));
                figures.Add(("smaller ×", (double)last.DenseBytes / last.Bytes));
                table.Add([.. figures]);
            }

            run.Write(table);
        }

        return Task.CompletedTask;
    }

    /// <summary>A length for people: 1k is 1,024.</summary>
    public static string Length(int tokens) => tokens % 1024 == 0 ? $"{tokens / 1024}k" : $"{tokens}";

    private static MemoryResult Stored(ResultStore store, string model, KvShape shape, Method method, int tokens)
    {
        var caches = method.For(shape);
        var dense = shape.TokenBytesFp16 * tokens;
        var result = new MemoryResult(method.Options.Window, tokens, caches.BitsAt(tokens) / 8, caches.BytesFor(tokens), dense);
        var name = $"{shape.Layers}x{shape.KvHeads}x{shape.HeadDim}";
        var key = new ResultKey(Command, model, name, method.Id, method.Parameters, Length(tokens));
        // Computed anew every time: it costs nothing, and an older version's figures do not stay.
        if (store.Find<MemoryResult>(key) != result)
            store.Add(key, result);
        return result;
    }
}
