using System.Diagnostics;
using LocalLlm.Attention;
using LocalLlm.Batching;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Sampling;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>
/// One sequence through a random-weight model of Llama-3.2-1B's shape in bf16: tokens per second of decode at several depths and of a prompt, with a dense and a LogQuant
/// cache, on our kernels and on torch's operations, and where a step's time goes.
/// </summary>
internal sealed class DecodeComparison(int[] depths, int[] prefillDepths, int prefillTokens, int layers, int steps, bool withTorch) : IComparison
{
    public static DecodeComparison Parse(Arguments arguments) => new(
        arguments.Numbers("depth", [0, 4096, 16384, 32768], least: 0), arguments.Numbers("prefill-depth", [0, 4096], least: 0), arguments.Number("prefill", 512),
        arguments.Number("layers", 16), arguments.Number("steps", 16), arguments.Number("torch", 1, least: 0) != 0);

    public Table Run(Machine machine)
    {
        var table = new Table($"decode, Llama-3.2-1B's shape with {layers} layers, bf16: {machine.Description}");
        using var mode = inference_mode();
        using var files = new RandomModel(layers);
        using var folder = ModelFolder.Open(files.FolderPath);
        using var kernels = DecoderModel.Load(folder, CPU, WeightType.BFloat16, team: machine.Team);
        using var fused = new CpuAttention(machine.Team);
        var options = (Dense: new KvCacheOptions { Kind = KvCacheKind.Dense }, LogQuant: new KvCacheOptions());
        var shape = new KvShape(layers, kernels.Config.KvHeads, kernels.Config.HeadDim, kernels.Type, CPU);
        foreach (var depth in depths)
        {
            Decode(table, machine, "ours", "LogQuant", kernels, fused, new KvCacheFactory(options.LogQuant, shape, useKernels: true), depth);
            Decode(table, machine, "ours", "dense", kernels, fused, new KvCacheFactory(options.Dense, shape), depth);
        }

        foreach (var depth in prefillDepths)
        {
            Prefill(table, "ours", "LogQuant", kernels, fused, new KvCacheFactory(options.LogQuant, shape, useKernels: true), depth);
            Prefill(table, "ours", "dense", kernels, fused, new KvCacheFactory(options.Dense, shape), depth);
        }

        if (withTorch)
        {
            using var torchModel = DecoderModel.Load(folder, CPU, WeightType.BFloat16);
            AgainstTorch(table, (kernels, fused), (torchModel, new TorchAttention()), new KvCacheFactory(options.Dense, shape));
        }

        return table;
    }

    private void Decode(Table table, Machine machine, string operations, string kind, DecoderModel model, IAttentionBackend backend, KvCacheFactory caches, int depth)
    {
        using var cache = caches.Create();
        ModelSteps.Fill(cache, caches.Shape, depth);
        var sampler = new Sampler(SamplingSettings.Resolve(null, new SamplingOptions()), []);
        var (token, _) = Step(model, backend, cache, sampler, [1]);
        (token, _) = Step(model, backend, cache, sampler, [token]);
        // The median step: another process's moment on the machine shall not decide.
        var measured = new List<(double Total, double Attention, double Linear, double Sampling)>();
        var reads = new List<double>();
        for (var step = 0; step < steps; step++)
        {
            var (linear, attention) = (model.LinearTime, model.AttentionTime);
            var start = Stopwatch.GetTimestamp();
            (token, var sampling) = Step(model, backend, cache, sampler, [token]);
            measured.Add((Stopwatch.GetElapsedTime(start).TotalMilliseconds, (model.AttentionTime - attention).TotalMilliseconds,
                (model.LinearTime - linear).TotalMilliseconds, sampling.TotalMilliseconds));
            start = Stopwatch.GetTimestamp();
            foreach (var weight in model.LinearWeights)
                machine.Read(TensorMemory.Address(weight), weight.NumberOfElements * weight.ElementSize);
            reads.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        var read = reads.Order().ElementAt(steps / 2);

        var (total, attentionTime, linearTime, samplingTime) = measured.OrderBy(m => m.Total).ElementAt(steps / 2);
        table.Add(
            ("what", "decode"), ("operations", operations), ("cache", kind), ("depth", depth), ("tokens_per_s", 1000 / total), ("best_tokens_per_s", 1000 / measured.Min(m => m.Total)),
            ("step_ms", total), ("linear_ms", linearTime), ("weights_read_ms", read), ("read_to_linear", read / linearTime), ("attention_ms", attentionTime), ("sampling_ms", samplingTime),
            ("other_ms", total - linearTime - attentionTime - samplingTime), ("attention_share", attentionTime / total), ("kv_mb", cache.Bytes / 1e6));
    }

    // The same step on torch's operations alone, in turns, from an empty dense cache.
    private void AgainstTorch(
        Table table, (DecoderModel Model, IAttentionBackend Backend) ours, (DecoderModel Model, IAttentionBackend Backend) torch, KvCacheFactory caches)
    {
        var sampler = new Sampler(SamplingSettings.Resolve(null, new SamplingOptions()), []);
        using IKvCache ourCache = caches.Create(), torchCache = caches.Create();
        var (ourSteps, torchSteps) = (new List<(double Step, double Linear)>(), new List<(double Step, double Linear)>());
        for (var step = 0; step < steps + 2; step++)
        {
            ourSteps.Add(Timed(ours, ourCache));
            torchSteps.Add(Timed(torch, torchCache));
            Thread.Sleep(10); // torch's threads spin on for some milliseconds
        }

        var (our, other) = (Median(ourSteps), Median(torchSteps));
        table.Add(
            ("what", "decode in turns"), ("operations", "ours"), ("cache", "dense"), ("depth", 0), ("tokens_per_s", 1000 / our.Step), ("step_ms", our.Step), ("linear_ms", our.Linear),
            ("linear_ratio_torch", other.Linear / our.Linear), ("step_ratio_torch", other.Step / our.Step));
        table.Add(
            ("what", "decode in turns"), ("operations", "torch"), ("cache", "dense"), ("depth", 0), ("tokens_per_s", 1000 / other.Step), ("step_ms", other.Step),
            ("linear_ms", other.Linear));

        (double Step, double Linear) Timed((DecoderModel Model, IAttentionBackend Backend) side, IKvCache cache)
        {
            var linear = side.Model.LinearTime;
            var start = Stopwatch.GetTimestamp();
            Step(side.Model, side.Backend, cache, sampler, [1]);
            return (Stopwatch.GetElapsedTime(start).TotalMilliseconds, (side.Model.LinearTime - linear).TotalMilliseconds);
        }

        static (double Step, double Linear) Median(List<(double Step, double Linear)> measured) =>
            measured.Skip(2).OrderBy(m => m.Step).ElementAt((measured.Count - 2) / 2);
    }

    private void Prefill(Table table, string operations, string kind, DecoderModel model, IAttentionBackend backend, KvCacheFactory caches, int depth)
    {
        var best = double.PositiveInfinity;
        var (attention, linear) = (0.0, 0.0);
        for (var round = 0; round < 2; round++)
        {
            using var cache = caches.Create();
            ModelSteps.Fill(cache, caches.Shape, depth);
            var before = (Linear: model.LinearTime, Attention: model.AttentionTime);
            var start = Stopwatch.GetTimestamp();
            Step(model, backend, cache, new Sampler(SamplingSettings.Resolve(null, new SamplingOptions()), []), [.. Enumerable.Range(1, prefillTokens)]);
            var total = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            if (total < best)
            {
                best = total;
                attention = (model.AttentionTime - before.Attention).TotalMilliseconds;
                linear = (model.LinearTime - before.Linear).TotalMilliseconds;
            }
        }

        table.Add(
            ("what", $"prefill {prefillTokens}"), ("operations", operations), ("cache", kind), ("depth", depth), ("tokens_per_s", 1000 * prefillTokens / best), ("step_ms", best),
            ("linear_ms", linear), ("attention_ms", attention), ("other_ms", best - linear - attention), ("attention_share", attention / best));
    }

    private static (int Token, TimeSpan Sampling) Step(DecoderModel model, IAttentionBackend backend, IKvCache cache, Sampler sampler, int[] tokens)
    {
        using var logits = ModelSteps.Forward(model, backend, cache, tokens);
        var start = Stopwatch.GetTimestamp();
        var token = sampler.Sample(ModelSteps.Numbers(logits));
        return (token, Stopwatch.GetElapsedTime(start));
    }
}
