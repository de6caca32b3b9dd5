using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>
/// How far the next token's distribution is from the full-precision cache's, text given, every token through the decode path.
/// </summary>
internal sealed class DivergenceEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "kl";

    // Part of the settings; raised when what is measured changes.
    private const string Version = "1";
    private const int LeastTokens = 64;

    private readonly int[] lengths;
    private readonly int texts;
    private readonly string? file;
    private readonly bool isSweep;

    private DivergenceEvaluation(Arguments arguments)
    {
        isSweep = arguments.Flag("sweep");
        if (isSweep && arguments.Text("methods") is not null)
            throw new ArgumentException("--sweep and --methods exclude each other: a sweep has methods of its own.");
        lengths = arguments.Numbers("tokens", arguments.BySize<int[]>([1024], [4000], [4000, 8000]), LeastTokens);
        texts = arguments.Number("seeds", arguments.BySize(isSweep ? 1 : 2, isSweep ? 4 : 8, isSweep ? 8 : 24));
        file = arguments.Text("text");
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new DivergenceEvaluation(arguments);

    /// <inheritdoc/>
    public Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        foreach (var source in run.Models)
        {
            using var model = EvaluatedModel.Load(source, run.Team, cancellationToken);
            foreach (var length in lengths.Where(l => l > model.ContextTokens))
            {
                Console.Error.WriteLine(
                    $"{model.Name} has a context of {model.ContextTokens} tokens; its texts have that many instead of {length}.");
            }

            foreach (var length in lengths.Select(l => Math.Min(l, model.ContextTokens)).Distinct())
                Run(run, model, length, cancellationToken);
        }

        return Task.CompletedTask;
    }

    private void Run(EvaluationRun run, EvaluatedModel model, int tokens, CancellationToken cancellationToken)
    {
        var results = new Dictionary<string, List<DivergenceResult>>();
        var chosen = isSweep
            ? OptionGrid.Methods(run.Arguments.Size == RunSize.Quick)
            : run.Methods(run.Arguments.Size == RunSize.Quick ? MethodCatalog.MainFor(model.Shape.Bits) : MethodCatalog.All);
        if (chosen.All(m => m == MethodCatalog.Dense))
            throw new ArgumentException($"--methods: kl compares methods with {MethodCatalog.Dense.Id}; name others.");
        chosen = [.. chosen.Where(m => m != MethodCatalog.Dense && Fits(m, model))];
        IReadOnlyList<Method> atPeaks = isSweep ? [] : MethodCatalog.AtEqualPeaks(chosen);
        var atEqualPeaks = new Dictionary<string, List<DivergenceResult>>();
        List<(ByteMatching Matching, Method Method)>? methods = null;
        using var progress = run.Begin($"kl {model.Name} {tokens}", (chosen.Count + atPeaks.Count) * texts);
        foreach (var text in TextSource.Texts(model, file, texts, tokens))
        {
            // One window for all texts, so that they can be averaged.
            methods ??= [.. Matched(ByteMatching.Average, chosen), .. Matched(ByteMatching.Peak, atPeaks)];
            DivergenceMeter? meter = null;
            try
            {
                foreach (var (matching, method) in methods)
                {
                    var key = new ResultKey(Name, model.Name, model.Fingerprint, method.Id, method.Parameters, $"v{Version} {text.Name}");
                    var result = run.Store.Find<DivergenceResult>(key, matching);
                    if (result is null)
                    {
                        meter ??= new DivergenceMeter(model, text, cancellationToken);
                        result = Measure(model, text, method, meter, cancellationToken);
                        run.Store.Add(key.Under(matching), result);
                    }

                    var under = matching == ByteMatching.Peak ? atEqualPeaks : results;
                    (under.TryGetValue(method.Id, out var list) ? list : under[method.Id] = []).Add(result);
                    progress.Advance(method.Id);
                }
            }
            finally
            {
                meter?.Dispose();
            }

            IEnumerable<(ByteMatching, Method)> Matched(ByteMatching matching, IReadOnlyList<Method> methods) =>
                MethodCatalog.EqualBytes(methods, model.Shape, tokens, text.PromptEnds, matching).Select(m => (matching, m));
        }

        var tables = isSweep ? [DivergenceTables.Sweep(model.Name, tokens, results)] : DivergenceTables.Of(model.Name, tokens, results);
        foreach (var table in tables)
            run.Write(table);
        if (atEqualPeaks.Count > 0)
            run.Write(DivergenceTables.AtEqualPeaks(model.Name, tokens, results, atEqualPeaks));
    }

    private static DivergenceResult Measure(
        EvaluatedModel model, EvaluatedText text, Method method, DivergenceMeter meter, CancellationToken cancellationToken)
    {
        var caches = method.For(model.Shape);
        var (kl, disagreements) = meter.Measure(caches, cancellationToken);
        var bits = caches.BitsOver(text.Ids.Count, text.PromptEnds);
        return new DivergenceResult(method.Options.Window, bits.Average, bits.Peak, kl, disagreements, text.Spans);
    }

    // A model of fewer layers than an option asks for goes without that method.
    private static bool Fits(Method method, EvaluatedModel model) => 2 * method.Options.BoundaryLayers <= model.Shape.Layers;
}
