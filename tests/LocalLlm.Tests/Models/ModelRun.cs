using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.KvCache;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

/// <summary>Runs a model over dense caches, as the engine does.</summary>
internal static class ModelRun
{
    /// <summary>The shape of a model's caches.</summary>
    public static KvShape Shape(DecoderModel model) =>
        new(model.Config.Layers, model.Config.KvHeads, model.Config.HeadDim, model.Type, model.Device);

    /// <summary>One step of one sequence; the logits of the rows asked for.</summary>
    public static float[][] Step(DecoderModel model, IKvCache cache, int[] ids, int[] logitRows) => Step(model, [(cache, ids)], logitRows);

    /// <summary>One step of several sequences.</summary>
    public static float[][] Step(DecoderModel model, (IKvCache Cache, int[] Ids)[] sequences, int[] logitRows)
    {
        using var scope = NewDisposeScope();
        using var mode = inference_mode();
        var slices = new List<StepSlice>();
        var positions = new List<long>();
        foreach (var (cache, ids) in sequences)
        {
            slices.Add(new StepSlice(cache, positions.Count, ids.Length, cache.PlanAppend(ids.Length)));
            positions.AddRange(Enumerable.Range(cache.Length, ids.Length).Select(p => (long)p));
        }

        var batch = new StepBatch(
            tensor(sequences.SelectMany(s => s.Ids).Select(id => (long)id).ToArray()).to(model.Device), tensor(positions.ToArray()).to(model.Device),
            tensor(logitRows.Select(row => (long)row).ToArray()).to(model.Device), slices);
        var logits = model.Forward(batch, new TorchAttention());
        foreach (var slice in slices)
            slice.Cache.Commit(slice.Plan);

        logits.shape.ShouldBe([logitRows.Length, model.Config.VocabSize]);
        logits.dtype.ShouldBe(ScalarType.Float32);
        var floats = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(logits.cpu().contiguous().bytes).ToArray();
        return [.. floats.Chunk(model.Config.VocabSize)];
    }

    /// <summary>The largest difference, relative to the largest value that was expected.</summary>
    public static double RelativeError(float[][] actual, double[][] expected)
    {
        actual.Length.ShouldBe(expected.Length);
        var range = expected.Max(row => row.Max(Math.Abs));
        return actual.Zip(expected).Max(rows => rows.First.Zip(rows.Second, (a, e) => Math.Abs(a - e)).Max()) / range;
    }
}
