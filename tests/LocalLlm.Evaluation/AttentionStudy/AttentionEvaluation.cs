using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>
/// Where models look, what selections of tokens catch of it, and what methods do to the output of attention: the paper's figures 1, 3, 4, 5 and
/// table 2 on the models given.
/// </summary>
internal sealed class AttentionEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "attention";

    private const string Version = "v1";
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

    private void Run(EvaluationRun run, EvaluatedModel model, int tokens, CancellationToken cancellationToken)
    {
        var methods = MethodCatalog.EqualBytes([.. run.Methods(MethodCatalog.Main).Where(m => m != MethodCatalog.Dense)], model.Shape, tokens);
        var window = MethodCatalog.Ours.Options.Window;
        using var progress = run.Begin($"{Command} {model.Name} {tokens}", texts * (methods.Count + 1));
        var (looks, errors) = (new List<AttentionResult>(), new List<(Method Method, OutputErrorResult Result)>());
        foreach (var text in TextSource.Texts(model, file, texts, tokens))
        {
            AttentionRecording? recording = null;
            try
            {
                var settings = $"{Version} W={window} {text.Name}";
                var key = new ResultKey(Command, model.Name, model.Fingerprint, MethodCatalog.Dense.Id, "dense", settings);
                looks.Add(Stored(key, () => AttentionStatistics.Of(Recording(text), window, cancellationToken)));
                progress.Advance();
                foreach (var method in methods)
                {
                    var own = new ResultKey(OutputErrors, model.Name, model.Fingerprint, method.Id, method.Parameters, settings);
                    errors.Add((method, Stored(own, () => Measure(Recording(text), model, method, cancellationToken))));
                    progress.Advance(method.Id);
                }
            }
            finally
            {
                recording?.Dispose();
            }

            AttentionRecording Recording(EvaluatedText of) => recording ??= new AttentionRecording(model, of.Ids, cancellationToken);
        }

        run.Write(AttentionTables.Reach($"attention, {model.Name}, {tokens} tokens: how far heads look", looks));
        run.Write(AttentionTables.Octaves($"attention, {model.Name}, {tokens} tokens: by distance", looks));
        run.Write(AttentionTables.Coverage($"attention, {model.Name}, {tokens} tokens: % of the attention on the tokens that are kept", looks));
        run.Write(AttentionTables.Errors($"attention, {model.Name}, {tokens} tokens: L1 error of the outputs, %", errors.Select(e => (e.Method.Id, e.Result))));
        run.Write(AttentionTables.Kurtosis($"attention, {model.Name}, {tokens} tokens: kurtosis of keys", looks));

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

    /// <summary>The name under which the methods' errors are stored.</summary>
    public const string OutputErrors = "attention-errors";

    private static OutputErrorResult Measure(AttentionRecording recording, EvaluatedModel model, Method method, CancellationToken cancellationToken)
    {
        var caches = method.For(model.Shape);
        using var cache = caches.Create();
        var (errors, outputs) = (new double[recording.Layers.Count], new double[recording.Layers.Count]);
        recording.Replay(
            cache,
            (layer, start, output) =>
            {
                using var scope = NewDisposeScope();
                var expected = recording.Layers[layer].Outputs.narrow(0, start, output.shape[0]).to(ScalarType.Float64);
                errors[layer] += (output.to(ScalarType.Float64) - expected).abs().sum().ToDouble();
                outputs[layer] += expected.abs().sum().ToDouble();
            },
            cancellationToken);
        var bits = caches.BitsOver(recording.Tokens);
        return new(recording.Tokens, [.. errors.Zip(outputs, (e, o) => e / o)], bits.Average, bits.Peak);
    }
}
