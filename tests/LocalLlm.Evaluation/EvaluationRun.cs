using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Evaluation.Results;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation;

/// <summary>What the evaluations of one command share: models, methods, threads, progress, stored results, tables.</summary>
internal sealed class EvaluationRun : IDisposable
{
    private readonly List<ModelSource> models;
    private readonly IReadOnlyList<Method>? chosenMethods;
    private readonly List<Table> tables = [];
    private readonly Lazy<WorkerTeam> team;
    private ProgressDisplay progress = ProgressDisplay.None;

    /// <summary>Reads the common options.</summary>
    /// <exception cref="ArgumentException">One is wrong.</exception>
    public EvaluationRun(Arguments arguments)
    {
        Arguments = arguments;
        models = ModelSource.Choose(arguments.List("model"), arguments.Text("stories"));
        chosenMethods = arguments.List("methods") is { } ids ? MethodCatalog.Choose(ids) : null;
        Store = new ResultStore(arguments.Results);
        team = new Lazy<WorkerTeam>(() =>
        {
            LibTorch.EnsureLoaded();
            set_num_threads(arguments.Threads);
            return new WorkerTeam(arguments.Threads);
        });
    }

    /// <summary>The command line.</summary>
    public Arguments Arguments { get; }

    /// <summary>The stored results.</summary>
    public ResultStore Store { get; }

    /// <summary>The models to evaluate; loaded by <see cref="EvaluatedModel.Load"/> when their turn comes.</summary>
    public IReadOnlyList<ModelSource> Models => models;

    /// <summary>The threads of the kernels; libtorch is loaded when they are first asked for.</summary>
    public WorkerTeam Team => team.Value;

    /// <summary>The methods of --methods, or these.</summary>
    public IReadOnlyList<Method> Methods(IReadOnlyList<Method> byDefault) => chosenMethods ?? byDefault;

    /// <summary>Begins a task of so many units in the progress display; disposing of it ends it.</summary>
    public ProgressTask Begin(string what, int units) => progress.Begin(what, units);

    /// <summary>Writes a table to the standard output when the run ends.</summary>
    public void Write(Table table) => tables.Add(table);

    /// <summary>Runs evaluations one after the other; what they finished is written even if one of them fails.</summary>
    public async Task ExecuteAsync(IReadOnlyList<IEvaluation> evaluations, CancellationToken cancellationToken)
    {
        try
        {
            await ProgressDisplay.RunAsync(async display =>
            {
                progress = display;
                foreach (var evaluation in evaluations)
                    await evaluation.RunAsync(this, cancellationToken);
            });
        }
        finally
        {
            progress = ProgressDisplay.None;
            if (tables.Count > 0)
                Console.WriteLine(Arguments.Json ? Table.ToJson(tables) : string.Join('\n', tables.Select(t => t.ToText())));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (team.IsValueCreated)
            team.Value.Dispose();
    }
}
