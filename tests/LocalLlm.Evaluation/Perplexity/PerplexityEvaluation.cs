using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Perplexity;

/// <summary>Perplexity of a text through each method's cache: a long context at once, or windows that slide.</summary>
internal sealed class PerplexityEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "perplexity";

    // Part of the settings; raised when what is measured changes.
    private const string Version = "1";
    private const int LeastTokens = 64;

    private readonly int[] lengths;
    private readonly int texts;
    private readonly string? file;
    private readonly int? stride;

    private PerplexityEvaluation(Arguments arguments)
    {
        lengths = arguments.Numbers("tokens", arguments.BySize<int[]>([1024], [2048], [2048, 4096]), LeastTokens);
        texts = arguments.Number("seeds", arguments.BySize(2, 8, 24));
        file = arguments.Text("text");
        stride = arguments.Number("stride", 0, least: 0) is var s and > 0 ? s : null;
        if (stride is not null && file is null)
            throw new ArgumentException("--stride is for windows over the text of --text FILE; dialogues are taken whole.");
        if (stride > lengths.Min())
            throw new ArgumentException($"--stride {stride} exceeds --tokens {lengths.Min()}: tokens between two windows would not count.");
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new PerplexityEvaluation(arguments);

    /// <inheritdoc/>
    public Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        foreach (var source in run.Models)
        {
            using var model = EvaluatedModel.Load(source, run.Team, cancellationToken);
            foreach (var length in lengths.Select(l => Math.Min(l, model.ContextTokens)).Distinct())
                Run(run, model, length, cancellationToken);
        }

        return Task.CompletedTask;
    }

    private void Run(EvaluationRun run, EvaluatedModel model, int tokens, CancellationToken cancellationToken)
    {
        var step = Math.Min(stride ?? tokens, tokens);
        var what = file is null ? "Texts" : $"{Path.GetFileName(file)}, a window every {step},";
        var series = $"{what} of {tokens} tokens (version {Version})";
        // Full precision is what the others are compared with, so it is always there.
        IReadOnlyList<Method> chosen = [MethodCatalog.Dense, .. run.Methods(MethodCatalog.MainFor(model.Shape.Bits)).Where(m => m != MethodCatalog.Dense)];
        IReadOnlyList<Method>? methods = null;
        var results = new Dictionary<Method, List<PerplexityResult>>();
        using var progress = run.Begin($"perplexity {model.Name} {tokens}", chosen.Count * texts);
        foreach (var text in Texts(model, tokens, step))
        {
            // One window for all texts, so that they can be averaged.
            methods ??= Fitting(MethodCatalog.EqualBytes(chosen, model.Shape, text.Text.Ids.Count, text.Text.PromptEnds), model);
            foreach (var method in methods)
            {
                var key = new ResultKey(Name, model.Name, model.Fingerprint, method.Id, method.Parameters, $"{series}; {text.Text.Name}");
                var result = run.Store.Find<PerplexityResult>(key);
                if (result is null)
                {
                    result = PerplexityMeter.Measure(model, text, method, series, cancellationToken);
                    run.Store.Add(key, result);
                }

                (results.TryGetValue(method, out var list) ? list : results[method] = []).Add(result);
                progress.Advance(method.Id);
            }
        }

        var rows = results.Select(r => new MethodResults<PerplexityResult>(r.Key.Id, r.Key.Parameters, r.Value)).ToList();
        run.Write(PerplexitySection.Table($"Perplexity, {model.Name}: {series}", rows, _ => null));
    }

    private IEnumerable<PerplexityText> Texts(EvaluatedModel model, int tokens, int step) => file is null
        ? TextSource.Texts(model, null, texts, tokens).Select(t => new PerplexityText(t, 1))
        : PerplexityText.Slide(model, file, texts, tokens, step);

    // A model of fewer layers than an option asks for goes without that method.
    private static Method[] Fitting(IReadOnlyList<Method> methods, EvaluatedModel model) =>
        [.. methods.Where(m => 2 * m.Options.BoundaryLayers <= model.Shape.Layers)];
}
