using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// A decode step of several conversations against one of a single conversation, in turns: a random-weight model of Llama-3.2-1B's shape in bf16,
/// the default cache and a dense one, filled with random keys and values.
/// </summary>
internal sealed class BatchComparison(int[] conversations, int depth, int layers, int steps) : IComparison
{
    public static BatchComparison Parse(Arguments arguments) => new(
        arguments.Numbers("conversations", [2, 4, 8, 16]), arguments.Number("depth", 4096, least: 0), arguments.Number("layers", 16),
        arguments.Number("steps", 16));

    public Table Run(Machine machine)
    {
        var table = new Table($"steps of several conversations, {depth} tokens each, Llama-3.2-1B's shape with {layers} layers, bf16: "
            + machine.Description);
        using var mode = inference_mode();
        using var files = new RandomModel(layers);
        using var folder = ModelFolder.Open(files.FolderPath);
        using var model = DecoderModel.Load(folder, CPU, WeightType.BFloat16, team: machine.Team);
        using var attention = new CpuAttention(machine.Team);
        var shape = new KvShape(layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, CPU);
        foreach (var kind in new[] { KvCacheKind.StreamingQuant, KvCacheKind.Dense })
        {
            var caches = new KvCacheFactory(new KvCacheOptions { Kind = kind }, shape, useKernels: true);
            foreach (var count in conversations)
                Compare(table, model, attention, caches, kind, count);
        }

        return table;
    }

    private void Compare(Table table, DecoderModel model, IAttentionBackend attention, KvCacheFactory factory, KvCacheKind kind, int count)
    {
        var all = new List<IKvCache>();
        try
        {
            // The one is not among the others, so that nobody finds its keys and values in the processor's cache.
            for (var i = 0; i <= count; i++)
            {
                all.Add(factory.Create());
                ModelSteps.Fill(all[i], factory.Shape, depth);
            }

            Side one = new(model, attention, all[..1]), many = new(model, attention, all[1..]);
            for (var step = 0; step < 2 + steps; step++)
            {
                one.Step(isCounted: step >= 2);
                many.Step(isCounted: step >= 2);
            }

            // Of each pair of neighbouring steps, so that both saw the same moment of the machine.
            var ratio = count * one.Measured.Zip(many.Measured, (a, b) => a.Total / b.Total).Order().ElementAt(steps / 2);
            foreach (var (side, sequences) in new[] { (one, 1), (many, count) })
            {
                var (total, linear, attended, sampling) = side.Measured.OrderBy(m => m.Total).ElementAt(steps / 2);
                table.Add(
                    ("cache", $"{kind}"), ("depth", depth), ("conversations", sequences), ("tokens_per_s", 1000 * sequences / total),
                    ("step_ms", total), ("linear_ms", linear), ("attention_ms", attended), ("sampling_ms", sampling),
                    ("other_ms", total - linear - attended - sampling), ("ratio_one", sequences == 1 ? null : ratio));
            }
        }
        finally
        {
            all.ForEach(c => c.Dispose());
        }
    }

    /// <summary>The conversations of one side, and the times of their steps.</summary>
    private sealed class Side(DecoderModel model, IAttentionBackend attention, IReadOnlyList<IKvCache> caches)
    {
        private readonly Sampler sampler = new(SamplingSettings.Resolve(null, new SamplingOptions()), []);
        private readonly int[] tokens = [.. Enumerable.Range(1, caches.Count)];

        public List<(double Total, double Linear, double Attention, double Sampling)> Measured { get; } = [];

        public void Step(bool isCounted)
        {
            var (linear, attended) = (model.LinearTime, model.AttentionTime);
            var start = Stopwatch.GetTimestamp();
            using var logits = ModelSteps.Decode(model, attention, caches, tokens);
            var sampling = Stopwatch.GetTimestamp();
            var numbers = ModelSteps.Numbers(logits);
            var vocabulary = numbers.Length / tokens.Length;
            for (var i = 0; i < tokens.Length; i++)
                tokens[i] = sampler.Sample(numbers.Slice(i * vocabulary, vocabulary));
            if (!isCounted)
                return;
            Measured.Add((
                Stopwatch.GetElapsedTime(start).TotalMilliseconds, (model.LinearTime - linear).TotalMilliseconds,
                (model.AttentionTime - attended).TotalMilliseconds, Stopwatch.GetElapsedTime(sampling).TotalMilliseconds));
        }
    }
}
