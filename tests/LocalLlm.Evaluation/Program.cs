using LocalLlm;
using LocalLlm.Evaluation;
using LocalLlm.Evaluation.Methods;

using var interrupt = new CancellationTokenSource();
Console.CancelKeyPress += (_, e) =>
{
    e.Cancel = true;
    interrupt.Cancel();
};
try
{
    var arguments = new Arguments(args);
    var evaluations = arguments.WantsHelp ? [] : Commands.Parse(arguments);
    if (evaluations.Count == 0)
    {
        if (!arguments.WantsHelp && arguments.Command.Length > 0)
            Console.Error.WriteLine($"There is no command '{arguments.Command}'.");
        Console.Error.WriteLine(Commands.Help);
        return arguments.WantsHelp ? 0 : 2;
    }

    if (arguments.Text("methods") == "help")
    {
        foreach (var method in MethodCatalog.All)
            Console.WriteLine($"{method.Id,-22}  {method.Label}");
        return 0;
    }

    using var run = new EvaluationRun(arguments);
    arguments.RequireNothingLeft();
    await run.ExecuteAsync(evaluations, interrupt.Token);
    return 0;
}
catch (ArgumentException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("Cancelled. What was finished is stored; the same command goes on from there.");
    return 130;
}
catch (Exception e) when (e is LocalLlmException or IOException or InvalidDataException or UnauthorizedAccessException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
