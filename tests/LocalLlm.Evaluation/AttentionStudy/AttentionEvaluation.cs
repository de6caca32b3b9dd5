using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>
/// Where models look, what selections of tokens catch of it, and what methods do to the output of attention: the paper's figures 1, 3, 4, 5
/// and table 2 on the models given.
/// </summary>
internal sealed class AttentionEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "attention";

    /// <summary>The name under which the methods' errors are stored.</summary>
    public const string OutputErrors = "attention-errors";

    /// <summary>The name under which the errors of <see cref="SelectionPair"/> are stored.</summary>
    public const string PairErrors = "attention-pairs";

    // The first word of the settings; raised when what is measured changes.
    private const string Version = "v3";
    private const int LeastTokens = 512, MostTokens = 16384; // all pairs of tokens of a head are held at once

    private readonly int[] lengths;
    private readonly int texts;
    private readonly string? file;

    private AttentionEvaluation(Arguments arguments)
    {
        lengths = arguments.Numbers("tokens", arguments.BySize<int[]>([1024], [4000], [4000]), LeastTokens, MostTokens);
        texts = arguments.Number("seeds", arguments.BySize(1, 3, 12));
        file = arguments.Text("text");
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new AttentionEvaluation(arguments);

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

    /// <summary>True for a result that this version of the study stored.</summary>
    public static bool IsCurrent(ResultKey key) => key.Settings.StartsWith(Version + " ", StringComparison.Ordinal);

    private void Run(EvaluationRun run, EvaluatedModel model, int tokens, CancellationToken cancellationToken)
    {
        var chosen = run.Methods(MethodCatalog.Main)
            .Where(m => m != MethodCatalog.Dense && 2 * m.Options.BoundaryLayers <= model.Shape.Layers).ToList();
        var window = MethodCatalog.Ours.Options.Window;
        IReadOnlyList<Method>? methods = null;
        List<AttentionResult> looks = [];
        List<(string Method, OutputErrorResult Result)> errors = [], pairErrors = [];
        using var progress = run.Begin($"{Command} {model.Name} {tokens}", texts * (1 + SelectionPair.All.Count + chosen.Count));
        foreach (var text in TextSource.Texts(model, file, texts, tokens))
        {
            // One window for all texts, so that they can be averaged.
            methods ??= MethodCatalog.EqualBytes(chosen, model.Shape, tokens, text.PromptEnds);
            AttentionRecording? recording = null;
            try
            {
                var settings = $"{Version} W={window} {text.Name}";
                var key = new ResultKey(Command, model.Name, model.Fingerprint, MethodCatalog.Dense.Id, "dense", settings);
                looks.Add(Stored(key, () => AttentionStatistics.Of(Recording(), window, cancellationToken)));
                progress.Advance();
                foreach (var pair in SelectionPair.All)
                    pairErrors.Add((pair.Method.Id, Error(PairErrors, pair.Method, settings)));
                foreach (var method in methods)
                    errors.Add((method.Id, Error(OutputErrors, method, settings)));
            }
            finally
            {
                recording?.Dispose();
            }

            AttentionRecording Recording() => recording ??= new AttentionRecording(model, text.Ids, cancellationToken);

            OutputErrorResult Error(string evaluation, Method method, string settings)
            {
                var own = new ResultKey(evaluation, model.Name, model.Fingerprint, method.Id, method.Parameters, settings);
                var result = Stored(own, () => Measure(Recording(), model, method, text.PromptEnds, cancellationToken));
                progress.Advance(method.Id);
                return result;
            }
        }

        var title = $"attention, {model.Name}, {tokens} tokens";
        run.Write(AttentionTables.Reach($"{title}: how far heads look", looks));
        run.Write(AttentionTables.Octaves($"{title}: by distance", looks));
        run.Write(AttentionTables.LayerSpikes($"{title}: spikes by distance, a query and head", looks));
        run.Write(AttentionTables.Coverage($"{title}: % of the attention on the tokens that are kept", looks));
        run.Write(AttentionTables.Pairs($"{title}: L1 error of the outputs, the other tokens quantised or evicted", pairErrors));
        run.Write(AttentionTables.Errors($"{title}: L1 error of the outputs, %", errors));
        run.Write(AttentionTables.Kurtosis($"{title}: kurtosis of keys", looks));

        T Stored<T>(ResultKey key, Func<T> make)
            where T : class
        {
            if (run.Store.Find<T>(key) is { } known)
                return known;
            var made = make();
            run.Store.Add(key, made);
            return made;
        }
    }

    private static OutputErrorResult Measure(
        AttentionRecording recording, EvaluatedModel model, Method method, IReadOnlyList<int> promptEnds,
        CancellationToken cancellationToken)
    {
        var caches = method.For(model.Shape);
        using var cache = caches.Create();
        var (errors, outputs) = (new double[recording.Layers.Count], new double[recording.Layers.Count]);
        recording.Replay(
            cache,
            promptEnds,
            (layer, start, output) =>
            {
                using var scope = NewDisposeScope();
                var expected = recording.Layers[layer].Outputs.narrow(0, start, output.shape[0]).to(ScalarType.Float64);
                errors[layer] += (output.to(ScalarType.Float64) - expected).abs().sum().ToDouble();
                outputs[layer] += expected.abs().sum().ToDouble();
            },
            cancellationToken);
        var bits = caches.BitsOver(recording.Tokens, promptEnds);
        return new(recording.Tokens, [.. errors.Zip(outputs, (e, o) => e / o)], bits.Average, bits.Peak);
    }
}
