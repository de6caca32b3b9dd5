using System.Diagnostics;
using Agents.Conversation;
using Agents.Display;
using Agents.Options;
using Agents.Scenes;
using Agents.Scoring;
using LocalLlm;
using Microsoft.Extensions.Options;
using Spectre.Console;

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

Terminal terminal = Terminal.Open(options.NoColor);
using var interrupt = new Interrupt(beforeExit: terminal.Restore);
try
{
    IScene scene = options.Chat ? new ChatScene() : new ScriptedScene(options);
    await using AgentSession session = await interrupt.RunAsync(token => terminal.WaitAsync(
        "loading the model", () => AgentSession.LoadAsync(options, scene.SystemPrompt, token)));
    Heading.Write(terminal, options, session);

    var board = new Scoreboard();
    var clock = Stopwatch.StartNew();
    ConversationEnd end = await scene.RunAsync(session, board, terminal, interrupt);
    if (board.Turns > 0)
        Summary.Write(terminal, session.Model, board);
    if (options.Json)
        Console.Out.WriteLine(ResultJson.Write(options, session.Model, board, end, clock.Elapsed));
    return end == ConversationEnd.Cancelled ? ExitCode.Cancelled : ExitCode.Done;
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
