using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using LocalLlm.Sessions;
using Microsoft.Extensions.Logging.Abstractions;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// A follow-up turn of a long conversation, through a random-weight model of Llama-3.2-1B's shape in bf16 with the default cache: to the first token from the retained cache,
/// from a fork of it and from the spill directory, against recomputing the conversation in the same run.
/// </summary>
internal sealed class ReuseComparison(int conversation, int turn, int chunk, int layers, int rounds) : IComparison
{
    public static ReuseComparison Parse(Arguments arguments) => new(
        arguments.Number("tokens", 16384), arguments.Number("turn", 64), arguments.Number("chunk", 512), arguments.Number("layers", 16), arguments.Number("rounds", 5));

    public Table Run(Machine machine)
    {
        var table = new Table($"a turn of {turn} tokens on a conversation of {conversation}, Llama-3.2-1B's shape with {layers} layers, bf16: {machine.Description}");
        using var mode = inference_mode();
        using var files = new RandomModel(layers);
        using var folder = ModelFolder.Open(files.FolderPath);
        using var model = DecoderModel.Load(folder, CPU, WeightType.BFloat16, team: machine.Team);
        using var backend = new CpuAttention(machine.Team);
        var options = new KvCacheOptions();
        var shape = new KvShape(layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, CPU);
        var caches = new KvCacheFactory(options, shape, useKernels: true);
        int[] tokens = [.. Enumerable.Range(0, conversation + turn).Select(t => (t * 7919) % 100_000)];

        // What the conversation was computed as is what the turn continues: the first measurement makes the cache of the others.
        using var retained = caches.Create();
        var start = Stopwatch.GetTimestamp();
        Prefill(model, backend, retained, tokens.AsSpan(0, conversation), chunk);
        var conversationTime = Stopwatch.GetElapsedTime(start);

        var (turns, forks, restores) = (new List<double>(), new List<double>(), new List<double>());
        for (var round = 0; round < rounds; round++)
        {
            start = Stopwatch.GetTimestamp();
            var fork = retained.Fork();
            forks.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            start = Stopwatch.GetTimestamp();
            Prefill(model, backend, fork, tokens.AsSpan(conversation), chunk);
            turns.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            fork.Dispose();
        }

        long fileBytes;
        var directory = Directory.CreateTempSubdirectory("localllm-benchmark-spill-").FullName;
        try
        {
            using (var store = Open())
            {
                var content = store.CreateContent();
                ((ISavableKvCache)retained).Save(new CacheWriter(content));
                store.Write(tokens[..conversation], content);
            }

            fileBytes = new FileInfo(Directory.GetFiles(directory)[0]).Length;
            for (var round = 0; round < rounds; round++)
            {
                start = Stopwatch.GetTimestamp();
                using var store = Open();
                using var content = store.Read(store.Find(tokens)!.Value.Entry)!;
                caches.Load(content, conversation).Dispose();
                restores.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        var (turnMs, forkMs, restoreMs, computeMs) = (Median(turns), Median(forks), Median(restores), conversationTime.TotalMilliseconds);
        // The row tensors are what a fork does not share; 3W rows and the sinks are the most that there are.
        var rowBytes = caches.BytesFor(1);
        table.Add(("first token", "recomputed"), ("ms", computeMs + turnMs), ("kv_mb", retained.Bytes / 1e6));
        table.Add(("first token", "retained cache"), ("ms", forkMs + turnMs), ("times_sooner", (computeMs + turnMs) / (forkMs + turnMs)));
        table.Add(("first token", "spill directory"), ("ms", restoreMs + turnMs), ("times_sooner", (computeMs + turnMs) / (restoreMs + turnMs)),
            ("kv_mb", fileBytes / 1e6), ("restore_ms", restoreMs), ("restore_times_sooner", computeMs / restoreMs));
        table.Add(("first token", "fork alone"), ("ms", forkMs), ("kv_mb", rowBytes / 1e6), ("rows", rowBytes / shape.TokenBytes), ("three_w", 3 * options.Window));
        return table;

        SpillStore Open() => new(directory, null, new byte[32], NullLogger.Instance);
    }

    private static void Prefill(DecoderModel model, IAttentionBackend backend, IKvCache cache, ReadOnlySpan<int> tokens, int chunk)
    {
        var sampler = new Sampler(SamplingSettings.Resolve(null, new SamplingOptions()), []);
        while (tokens.Length > 0)
        {
            var count = Math.Min(chunk, tokens.Length);
            using var logits = ModelSteps.Forward(model, backend, cache, tokens[..count].ToArray());
            tokens = tokens[count..];
            if (tokens.Length == 0)
                sampler.Sample(ModelSteps.Numbers(logits));
        }
    }

    private static double Median(List<double> numbers) => numbers.Order().ElementAt(numbers.Count / 2);
}
