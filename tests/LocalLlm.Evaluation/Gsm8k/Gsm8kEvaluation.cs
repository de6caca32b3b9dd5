using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>GSM8K's problems (arXiv 2110.14168), answered by the engine with each method's cache: exact match of the number.</summary>
internal sealed class Gsm8kEvaluation : IEvaluation
{
    /// <summary>The command.</summary>
    public const string Command = "gsm8k";

    // Part of the settings; raised when what is measured changes.
    private const string Version = "1";

    private readonly string dataOption;
    private readonly string? data;
    private readonly string? shots;
    private readonly int shotCount;
    private readonly int limit;
    private readonly int maxTokens;
    private readonly EngineSettings engine;
    private readonly Lock gate = new();

    private Gsm8kEvaluation(Arguments arguments)
    {
        // The long benchmarks all have data; in one command each needs a name of its own.
        dataOption = arguments.Command == "all" ? "gsm8k-data" : "data";
        data = arguments.Text(dataOption);
        if (data is null && arguments.Command != "all")
            throw new ArgumentException("gsm8k needs --data FILE, GSM8K's test.jsonl (github.com/openai/grade-school-math).");
        shots = arguments.Text("shots");
        shotCount = arguments.Number("shot-count", 8, most: 64);
        limit = arguments.Number("limit", arguments.BySize(4, int.MaxValue, int.MaxValue));
        maxTokens = arguments.Number("max-tokens", 512);
        engine = EngineSettings.Parse(arguments);
    }

    /// <inheritdoc/>
    public string Name => Command;

    /// <summary>Reads the options.</summary>
    public static IEvaluation Parse(Arguments arguments) => new Gsm8kEvaluation(arguments);

    /// <inheritdoc/>
    public async Task RunAsync(EvaluationRun run, CancellationToken cancellationToken)
    {
        if (data is null)
        {
            Console.Error.WriteLine("gsm8k is left out: give its data with --gsm8k-data FILE.");
            return;
        }

        var problems = Gsm8kProblem.Read(data, dataOption).Take(limit).ToList();
        var prompt = shots is null ? Gsm8kPrompt.Chat() : Gsm8kPrompt.WithExamples(Examples(shots, problems));
        foreach (var source in EngineMethods.Models(run, Name))
            await RunAsync(run, source, problems, prompt, cancellationToken);
    }

    private List<Gsm8kProblem> Examples(string path, List<Gsm8kProblem> problems)
    {
        var examples = Gsm8kProblem.ReadExamples(path, "shots");
        if (examples.Count < shotCount)
            throw new ArgumentException($"--shots: '{path}' has {examples.Count} examples; --shot-count asks for {shotCount}.");
        examples = examples[..shotCount];
        var questions = problems.Select(p => p.Question).ToHashSet();
        return examples.FindIndex(e => questions.Contains(e.Question)) is >= 0 and var at
            ? throw new ArgumentException($"--shots: example {at + 1} of '{path}' is also a problem of --{dataOption}, so the prompt would hold its "
                + "answer. Give examples of another file, GSM8K's train.jsonl.")
            : examples;
    }

    private async Task RunAsync(
        EvaluationRun run, ModelSource source, List<Gsm8kProblem> problems, Gsm8kPrompt prompt, CancellationToken cancellationToken)
    {
        var tokens = new PromptTokens(source);
        if (prompt.IsChat && !tokens.HasChat)
            throw new ArgumentException($"{source.Name} has no chat template; give worked examples with --shots FILE (train.jsonl).");
        var lengths = problems.Select(p => tokens.Count(prompt.Request(p.Question, maxTokens))).ToList();
        var context = engine.ContextTokens ?? tokens.ContextTokens;
        if (lengths.Max() + maxTokens > context)
        {
            throw new ArgumentException($"A prompt of {lengths.Max()} tokens and an answer of --max-tokens {maxTokens} exceed "
                + $"{source.Name}'s context of {context} tokens. Lower --max-tokens or --shot-count.");
        }

        var methods = EngineMethods.Methods(run, Name, EngineMethods.Shape(source), (int)lengths.Average(), Math.Min(maxTokens, 128));
        var series = $"{Path.GetFileName(data)}, {prompt.Name}, at most {maxTokens} tokens (version {Version})";
        var fingerprint = source.Fingerprint();
        using var progress = run.Begin($"gsm8k {source.Name}", methods.Count * problems.Count);
        var results = new List<MethodResults<Gsm8kResult>>();
        foreach (var method in methods)
        {
            await using var answering = new MethodEngine(source, method, engine);
            var answers = new Gsm8kResult[problems.Count];
            await Parallel.ForEachAsync(Enumerable.Range(0, problems.Count), Options(cancellationToken), async (i, cancel) =>
            {
                var problem = problems[i];
                var key = new ResultKey(Name, source.Name, fingerprint, method.Id, method.Parameters,
                    $"{series}; problem {i + 1} {FileHash.OfText(problem.Question + problem.Answer)}");
                Gsm8kResult? result;
                lock (gate)
                    result = run.Store.Find<Gsm8kResult>(key);
                if (result is null)
                {
                    var answer = await answering.AnswerAsync(prompt.Request(problem.Question, maxTokens), cancel);
                    var (strict, flexible) = (AnswerExtraction.Strict(answer.Text, prompt.Form), AnswerExtraction.Flexible(answer.Text));
                    result = new(series, i + 1, problem.Gold, strict, flexible, answer);
                    lock (gate)
                        run.Store.Add(key, result);
                }

                answers[i] = result;
                lock (gate)
                    progress.Advance(method.Id);
            });
            results.Add(new(method.Id, method.Parameters, answers));
        }

        run.Write(Gsm8kSection.Table($"GSM8K, {source.Name}: {series}", results));
    }

    private ParallelOptions Options(CancellationToken cancellationToken) =>
        new() { MaxDegreeOfParallelism = engine.Concurrent, CancellationToken = cancellationToken };
}
