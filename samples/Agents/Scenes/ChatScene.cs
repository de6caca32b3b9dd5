using Agents.Conversation;
using Agents.Display;
using Agents.Scoring;
using DemoModel.Dialogues;
using LocalLlm;
using Spectre.Console;

namespace Agents.Scenes;

/// <summary>A user who types.</summary>
internal sealed class ChatScene : IConversation
{
    private const string Commands = """
        /stats  what the conversation holds and how fast it goes
        /reset  begin again: an empty conversation, an empty calendar, no notes
        /help   this list
        /exit   leave (so does the end of input, Ctrl-D); Ctrl-C stops an answer
        """;

    public string SystemPrompt => DemoTools.SystemPrompt;

    public async Task<ConversationEnd> RunAsync(AgentSession session, Scoreboard board, Terminal terminal, Interrupt interrupt)
    {
        bool isTyped = !System.Console.IsInputRedirected;
        var view = new ScrollView(terminal, session.Model, turns: null, showUser: !isTyped);
        if (isTyped)
            terminal.Note("Type a message; /help lists the commands.");
        for (int number = 1; ; number++)
        {
            if (isTyped)
                terminal.Console.Markup("[aqua]you[/]    ");
            string? line = Console.In.ReadLine();
            if (line is null && isTyped)
                terminal.Raw("\n");
            switch (line?.Trim())
            {
                case null or "/exit" or "/quit":
                    return ConversationEnd.Complete;
                case "":
                    break;
                case "/help":
                    terminal.Note(Commands);
                    break;
                case "/stats":
                    Summary.Write(terminal, session.Model, board);
                    break;
                case "/reset":
                    session.Reset();
                    board.Usage.Restart();
                    terminal.Note("A new conversation.");
                    break;
                case ['/', .. var command] when !command.Contains(' ', StringComparison.Ordinal):
                    terminal.Note($"There is no command /{command}; /help lists them.");
                    break;
                case var text:
                    await AskAsync(text, number, session, board, view, terminal, interrupt);
                    break;
            }
        }
    }

    private static async Task AskAsync(
        string text, int number, AgentSession session, Scoreboard board, ScrollView view, Terminal terminal, Interrupt interrupt)
    {
        view.BeginTurn(number, text);
        try
        {
            AgentTurn turn = await interrupt.RunAsync(token => session.AskAsync(text, view, token));
            foreach (RoundUsage round in turn.Rounds)
                board.Usage.Add(round);
            view.EndTurn(turn, board.Add(null, turn));
        }
        catch (OperationCanceledException)
        {
            view.AbandonTurn();
            terminal.Note("Stopped. The conversation goes on as if this had not been asked.");
        }
        catch (ContextLengthException e)
        {
            view.AbandonTurn();
            terminal.Note($"The context is full. {e.Message} /reset begins a new conversation.");
        }
    }
}
