using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>LongBench's tasks (arXiv 2308.14508), answered by the engine with each method's cache.</summary>
internal sealed class LongBenchEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "longbench";

    // Part of the settings; raised when what is measured changes.
    private const string Version = "1";

    private readonly string dataOption;
    private readonly string? data;
    private readonly string? config;
    private readonly string[]? tasks;
    private readonly int limit;
    private readonly bool cutsMiddle;
    private readonly EngineSettings engine;
    private readonly Lock gate = new();

    private LongBenchEvaluation(Arguments arguments)
    {
        // The long benchmarks all have data; in one command each needs a name of its own.
        var isPart = arguments.Command == "all";
        dataOption = isPart ? "longbench-data" : "data";
        data = arguments.Text(dataOption);
        config = arguments.Text("config");
        if (data is null && !isPart)
        {
            throw new ArgumentException("longbench needs --data DIR, the folder with LongBench's files TASK.jsonl (data.zip of "
                + "huggingface.co/datasets/THUDM/LongBench).");
        }

        if (data is not null && config is null)
        {
            throw new ArgumentException("longbench needs --config DIR, the folder with LongBench's dataset2prompt.json and "
                + "dataset2maxlen.json (github.com/THUDM/LongBench).");
        }

        tasks = arguments.List("tasks");
        limit = arguments.Number("limit", arguments.BySize(2, int.MaxValue, int.MaxValue));
        cutsMiddle = arguments.Flag("cut-middle");
        engine = EngineSettings.Parse(arguments);
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new LongBenchEvaluation(arguments);

    /// <inheritdoc/>
    public async Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        if (data is null)
        {
            Console.Error.WriteLine("longbench is left out: give its data with --longbench-data DIR --config DIR.");
            return;
        }

        var files = LongBenchFile.Read(data, dataOption, LongBenchConfig.Read(config!), tasks, limit);
        foreach (var source in EngineMethods.Models(run, Name))
            await RunAsync(run, source, files, cancellationToken);
    }

    private async Task RunAsync(EvaluationRun run, ModelSource source, List<LongBenchFile> files, CancellationToken cancellationToken)
    {
        var prompts = Prompts(source, files);
        var asked = prompts.Where(p => p.Request is not null).ToList();
        // Of the answers' lengths the most is known; half of it is as good a guess as any.
        var promptTokens = (int)asked.Select(p => p.AskedTokens).DefaultIfEmpty(1).Average();
        var answerTokens = (int)asked.Select(p => p.File.MaxTokens / 2).DefaultIfEmpty(1).Average();
        var methods = EngineMethods.Methods(run, Name, EngineMethods.Shape(source), promptTokens, answerTokens);
        var series = $"Context of {Context(source)} tokens{(cutsMiddle ? ", middles cut out" : "")} (version {Version})";
        var fingerprint = source.Fingerprint();
        using var progress = run.Begin($"longbench {source.Name}", methods.Count * prompts.Count);
        var results = new List<MethodResults<LongBenchResult>>();
        foreach (var method in methods)
        {
            await using var answering = new MethodEngine(source, method, engine);
            var scores = new LongBenchResult[prompts.Count];
            var parallel = new ParallelOptions { MaxDegreeOfParallelism = engine.Concurrent, CancellationToken = cancellationToken };
            await Parallel.ForEachAsync(Enumerable.Range(0, prompts.Count), parallel, async (i, cancel) =>
            {
                var prompt = prompts[i];
                var settings = $"{series}; {prompt.File.Name} {prompt.Number} {prompt.Hash}";
                var key = new ResultKey(Name, source.Name, fingerprint, method.Id, method.Parameters, settings);
                LongBenchResult? result;
                lock (gate)
                    result = run.Store.Find<LongBenchResult>(key);
                if (result is null)
                {
                    result = await ScoreAsync(answering, series, prompt, cancel);
                    lock (gate)
                        run.Store.Add(key, result);
                }

                scores[i] = result;
                lock (gate)
                    progress.Advance($"{method.Id} {prompt.File.Name}");
            });
            results.Add(new(method.Id, method.Parameters, scores));
        }

        foreach (var table in LongBenchSection.Tables($"LongBench, {source.Name}: {series}", results))
            run.Write(table);
    }

    private static async Task<LongBenchResult> ScoreAsync(
        MethodEngine answering, string series, AskedSample asked, CancellationToken cancellationToken)
    {
        var (file, sample) = (asked.File, asked.Sample);
        if (asked.Request is null)
            return new(series, file.Name, asked.Number, sample.Length, null, asked.PromptTokens, null);
        var answer = await answering.AnswerAsync(asked.Request, cancellationToken);
        var score = file.Task.Score(answer.Text, sample.Answers, sample.Classes);
        return new(series, file.Name, asked.Number, sample.Length, score, asked.PromptTokens, answer);
    }

    private int Context(ModelSource source) => engine.ContextTokens ?? new PromptTokens(source).ContextTokens;

    // All requests beforehand: whether they fit is known before a model is loaded.
    private List<AskedSample> Prompts(ModelSource source, List<LongBenchFile> files)
    {
        var tokens = new PromptTokens(source);
        var context = engine.ContextTokens ?? tokens.ContextTokens;
        List<AskedSample> prompts = [];
        foreach (var file in files)
        {
            var most = context - file.MaxTokens;
            for (var i = 0; i < file.Samples.Count; i++)
            {
                var sample = file.Samples[i];
                var prompt = file.Prompt(sample);
                var request = file.Request(prompt, tokens.HasChat);
                var promptTokens = tokens.Count(request);
                var askedTokens = promptTokens;
                if (promptTokens > most && cutsMiddle)
                {
                    request = file.Request(tokens.CutMiddle(prompt, text => file.Request(text, tokens.HasChat), most), tokens.HasChat);
                    askedTokens = tokens.Count(request);
                }

                var hash = FileHash.OfText(prompt + file.MaxTokens);
                prompts.Add(new(file, sample, i + 1, hash, promptTokens, askedTokens <= most ? request : null, askedTokens));
            }

            if (prompts.Count(p => p.File == file && p.Request is null) is > 0 and var tooLong)
            {
                Console.Error.WriteLine($"longbench: {tooLong} of {file.Samples.Count} samples of {file.Name} are left out: prompt and an "
                    + $"answer of {file.MaxTokens} tokens exceed {source.Name}'s context of {context} tokens. Raise --context if the model "
                    + "was trained for more, or give --cut-middle.");
            }
        }

        return prompts;
    }

    /// <summary>A sample as it is asked; no request if it is too long.</summary>
    private sealed record AskedSample(
        LongBenchFile File, LongBenchSample Sample, int Number, string Hash, int PromptTokens, GenerationRequest? Request, int AskedTokens);
}
