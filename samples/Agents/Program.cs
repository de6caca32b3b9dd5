using Agents.Display;
using Agents.Options;
using Agents.Scenes;
using Agents.Scoring;
using LocalLlm;
using Microsoft.Extensions.Options;

SampleOptions options;
try
{
    options = CommandLine.Parse(args);
}
catch (CommandLineException e)
{
    Console.Error.WriteLine($"error: {e.Message} (--help lists the options)");
    return ExitCode.BadArguments;
}

if (options.Help)
{
    Console.Out.WriteLine(CommandLine.Help);
    return ExitCode.Done;
}

if (options.SceneName == SceneNames.ListScenes)
{
    Console.Out.Write(SceneNames.List);
    return ExitCode.Done;
}

Terminal terminal = Terminal.Open(options.NoColor);
using var interrupt = new Interrupt(beforeExit: terminal.Restore);
try
{
    SceneResult result = await SceneCatalog.Create(options).RunAsync(new(options, terminal, interrupt));
    if (options.Json)
        Console.Out.WriteLine(result.Figures.ToJsonString());
    return result.End == ConversationEnd.Cancelled ? ExitCode.Cancelled : ExitCode.Done;
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("cancelled");
    return ExitCode.Cancelled;
}
catch (Exception e) when (e is LocalLlmException or OptionsValidationException)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return ExitCode.Failed;
}
catch (Exception e)
{
    // Not foreseen, so where it came from is worth the lines.
    Console.Error.WriteLine($"error: {e}");
    return ExitCode.Failed;
}
