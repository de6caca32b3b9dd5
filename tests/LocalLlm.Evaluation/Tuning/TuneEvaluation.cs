using System.Globalization;
using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;
using LocalLlm.KvCache;
using LocalLlm.Loading;

namespace LocalLlm.Evaluation.Tuning;

/// <summary>
/// Which layers of a model want more bits and which do with less, at as many bytes as the default has: measures what each layer costs at each choice while the
/// others have 4 bits, chooses by <see cref="BitAllocation"/>, and checks the whole against the default. Its texts are none that the other evaluations use.
/// </summary>
internal sealed class TuneEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "tune";

    private const string Version = "1";
    private static readonly PageBits Widest = new(4, 4, 4);

    private static readonly PageBits[] Choices =
        [new(2, 2, 2), new(2, 3, 2), new(2, 2, 3), new(2, 4, 2), new(2, 3, 3), new(3, 3, 3), new(2, 4, 3), new(4, 4, 2), new(2, 4, 4), new(4, 4, 3), Widest];

    private readonly int tokens;
    private readonly int texts;
    private readonly string? file;
    private readonly bool writes;

    private TuneEvaluation(Arguments arguments)
    {
        tokens = arguments.Number("tokens", arguments.BySize(1024, 4000, 4000), 64);
        texts = arguments.Number("seeds", arguments.BySize(1, 2, 6));
        file = arguments.Text("text");
        writes = arguments.Flag("write");
        if (!writes)
            return;
        var folders = arguments.List("model") ?? throw new ArgumentException("--write needs --model FOLDER: the model folder that gets kv_cache.json.");
        if (folders.FirstOrDefault(f => f.EndsWith(":stress", StringComparison.Ordinal)) is { } stress)
            throw new ArgumentException($"--write: {stress} is a variant of a model in memory, not a folder that could get kv_cache.json.");
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new TuneEvaluation(arguments);

    /// <inheritdoc/>
    public Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        foreach (var source in run.Models)
        {
            using var model = EvaluatedModel.Load(source, run.Team, cancellationToken);
            Run(run, model, cancellationToken);
        }

        return Task.CompletedTask;
    }

    private void Run(EvaluationRun run, EvaluatedModel model, CancellationToken cancellationToken)
    {
        var layers = model.Shape.Layers;
        var evaluated = TextSource.TuningTexts(model, file, texts, Math.Min(tokens, model.ContextTokens)).ToList();
        var single = (from layer in Enumerable.Range(0, layers) from choice in Choices where choice != Widest select (layer, choice)).ToList();
        var uniform = Uniform(layers, PageBits.Default);
        var plans = single.Select(s => Uniform(layers, Widest).Select((bits, layer) => layer == s.layer ? s.choice : bits).ToArray())
            .Append(Uniform(layers, Widest)).Append(uniform).ToList();
        using var progress = run.Begin($"tune {model.Name}", (plans.Count + 1) * evaluated.Count);
        var kl = Measure(run, model, evaluated, plans, progress, cancellationToken);

        var widest = kl[single.Count];
        var costs = Enumerable.Range(0, layers).Select(layer => Choices.Select(choice =>
            choice == Widest ? 0 : kl[single.IndexOf((layer, choice))] - widest).ToList()).ToList();
        var bits = Choices.Select(c => Bits(model.Shape, [c])).ToList();
        var chosen = BitAllocation.Choose(bits, costs, Bits(model.Shape, uniform)).Select(choice => Choices[choice]).ToArray();
        var tuned = Measure(run, model, evaluated, [chosen], progress, cancellationToken)[0];

        var table = new Table($"Bits of each layer of {model.Name}: what a layer adds to the divergence at so few bits, the others at 4");
        for (var layer = 0; layer < layers; layer++)
        {
            var own = costs[layer];
            table.Add([("layer", layer), ("chosen", chosen[layer].ToString()), .. Choices.Select((c, i) => (c.ToString(), (object?)own[i]))]);
        }

        run.Write(table);
        var summary = new Table($"Mean divergence of {model.Name} over {evaluated.Count} texts of {evaluated[0].Ids.Count} tokens");
        foreach (var (name, plan, value) in new[] { ("the default, all layers alike", uniform, kl[^1]), ("tuned", chosen, tuned), ("4 bits", Uniform(layers, Widest), widest) })
            summary.Add(("bits of layers", name), ("page bits", Bits(model.Shape, plan) / (2.0 * 64 * model.Shape.HeadDim * layers)), ("mean KL", value));
        run.Write(summary);
        if (!writes)
            return;
        if (tuned >= kl[^1])
            throw new ArgumentException($"--write: for {model.Name} the tuned bits are no better than the default ({tuned:G4} against {kl[^1]:G4}); nothing was written.");
        var path = Path.Combine(model.Source.Folder, CacheBitsConfig.FileName);
        File.WriteAllText(path, Json(chosen));
        Console.Error.WriteLine($"Written: {path}");
    }

    private static double[] Measure(
        EvaluationRun run, EvaluatedModel model, List<EvaluatedText> evaluated, List<PageBits[]> plans, ProgressTask progress, CancellationToken cancellationToken)
    {
        var sums = new double[plans.Count];
        foreach (var text in evaluated)
        {
            DivergenceMeter? meter = null;
            try
            {
                for (var i = 0; i < plans.Count; i++)
                {
                    var key = new ResultKey(Command, model.Name, model.Fingerprint, MethodCatalog.Ours.Id, string.Join(' ', plans[i]), $"v{Version} {text.Name}");
                    var result = run.Store.Find<TuneResult>(key);
                    if (result is null)
                    {
                        meter ??= new DivergenceMeter(model, text, cancellationToken);
                        var caches = MethodCatalog.Ours.For(model.Shape with { Bits = Config(plans[i]) });
                        result = new TuneResult(meter.Measure(caches, cancellationToken).Kl.Average());
                        run.Store.Add(key, result);
                    }

                    sums[i] += result.Kl / evaluated.Count;
                    progress.Advance(string.Join(' ', plans[i]));
                }
            }
            finally
            {
                meter?.Dispose();
            }
        }

        return sums;
    }

    private static PageBits[] Uniform(int layers, PageBits bits) => [.. Enumerable.Repeat(bits, layers)];

    // Of a page of 64 tokens, one KV head of each layer, positions not counted.
    private static int Bits(KvShape shape, PageBits[] plan) =>
        8 * new PageFormat(MethodCatalog.Ours.Options, shape with { Layers = plan.Length, Bits = Config(plan) }, 64).Layouts.Sum(l => l.HeadBytes);

    private static CacheBitsConfig Config(PageBits[] plan) =>
        new([.. plan.Select(b => b.Key)], [.. plan.Select(b => b.SlowKey)], [.. plan.Select(b => b.Value)]);

    private static string Json(PageBits[] plan)
    {
        return $$"""
            {
              "key_bits": [{{List(b => b.Key)}}],
              "slow_key_bits": [{{List(b => b.SlowKey)}}],
              "value_bits": [{{List(b => b.Value)}}]
            }

            """;

        string List(Func<PageBits, int> of) => string.Join(", ", plan.Select(b => of(b).ToString(CultureInfo.InvariantCulture)));
    }
}
