using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// Decode steps of several conversations at once against those of one, in turns, on a random-weight model of Llama-3.2-1B's shape in bf16 with the default
/// cache: how much of a step's time one more conversation costs.
/// </summary>
internal sealed class BatchComparison(int[] counts, int[] depths, int layers, int steps) : IComparison
{
    public static BatchComparison Parse(Arguments arguments) => new(
        arguments.Numbers("conversations", [2, 4, 8, 16]), arguments.Numbers("depth", [4096], least: 0), arguments.Number("layers", 16), arguments.Number("steps", 12));

    public Table Run(Machine machine)
    {
        var table = new Table($"decode of several conversations, Llama-3.2-1B's shape with {layers} layers, bf16: {machine.Description}");
        using var mode = inference_mode();
        using var files = new RandomModel(layers);
        using var folder = ModelFolder.Open(files.FolderPath);
        using var model = DecoderModel.Load(folder, CPU, WeightType.BFloat16, team: machine.Team);
        using var attention = new CpuAttention(machine.Team);
        var caches = new KvCacheFactory(new KvCacheOptions(), new KvShape(layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, CPU), useKernels: true);
        foreach (var depth in depths)
        {
            var most = counts.Max();
            var conversations = Enumerable.Range(0, most).Select(_ => caches.Create()).ToList();
            try
            {
                foreach (var cache in conversations)
                    ModelSteps.Fill(cache, caches.Shape, depth);
                foreach (var count in counts.Order())
                    Compare(table, model, attention, conversations, count, depth);
            }
            finally
            {
                conversations.ForEach(c => c.Dispose());
            }
        }

        return table;
    }

    private void Compare(Table table, DecoderModel model, CpuAttention attention, List<IKvCache> conversations, int count, int depth)
    {
        var (one, many) = (new List<(double Step, double Linear)>(), new List<(double Step, double Linear)>());
        for (var step = -2; step < steps; step++)
        {
            var (single, several) = (Timed(1), Timed(count));
            if (step >= 0)
            {
                one.Add(single);
                many.Add(several);
            }
        }

        var (alone, together) = (Median(one), Median(many));
        table.Add(
            ("conversations", count), ("depth", depth), ("one_step_ms", alone.Step), ("step_ms", together.Step), ("one_tokens_per_s", 1000 / alone.Step),
            ("tokens_per_s", 1000 * count / together.Step), ("times_one", count * alone.Step / together.Step), ("linear_ms", together.Linear),
            ("other_ms", together.Step - together.Linear));

        (double Step, double Linear) Timed(int rows)
        {
            var linear = model.LinearTime;
            var start = Stopwatch.GetTimestamp();
            Step(model, attention, conversations[..rows]);
            return (Stopwatch.GetElapsedTime(start).TotalMilliseconds, (model.LinearTime - linear).TotalMilliseconds);
        }

        static (double Step, double Linear) Median(List<(double Step, double Linear)> measured) => measured.OrderBy(m => m.Step).ElementAt(measured.Count / 2);
    }

    /// <summary>One token of each conversation, up to the greedy choice of the next.</summary>
    private static void Step(DecoderModel model, CpuAttention attention, List<IKvCache> conversations)
    {
        using var scope = NewDisposeScope();
        long[] ids = [.. conversations.Select(_ => 1L)], positions = [.. conversations.Select(c => (long)c.Length)], rows = [.. Enumerable.Range(0, conversations.Count).Select(i => (long)i)];
        List<StepSlice> slices = [.. conversations.Select((c, i) => new StepSlice(c, i, 1, c.PlanAppend(1)))];
        var batch = new StepBatch(tensor(ids), tensor(positions), tensor(rows), slices) { Generated = new GeneratedRows(conversations.Count, conversations.Count) };
        using var best = model.Forward(batch, attention).argmax(1);
        foreach (var slice in slices)
            slice.Cache.Commit(slice.Plan);
    }
}
