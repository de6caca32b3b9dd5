using Agents.Conversation;
using Agents.Display;
using Agents.Options;
using Agents.Scoring;
using DemoModel.Dialogues;
using LocalLlm;

namespace Agents.Scenes;

/// <summary>A user who follows a script.</summary>
/// <param name="options">Turns and seed of the script.</param>
internal sealed class ScriptedScene(SampleOptions options) : IScene
{
    private readonly int _turns = options.Turns ?? SampleOptions.DefaultTurns;
    private readonly WorkshopScript _script = new(options.Seed, options.Turns ?? SampleOptions.DefaultTurns);

    public string SystemPrompt => _script.SystemPrompt;

    public async Task<ConversationEnd> RunAsync(AgentSession session, Scoreboard board, Terminal terminal, Interrupt interrupt)
    {
        IConversationView view = terminal.IsLive
            ? new LiveView(terminal, session.Model, board, _turns)
            : new ScrollView(terminal, session.Model, _turns, showUser: true);
        string? message = null;
        var end = ConversationEnd.Complete;
        await view.RunAsync(async () => (end, message) = await PlayAsync(session, board, view, interrupt));
        if (message is not null)
            terminal.Note(message);
        return end;
    }

    private async Task<(ConversationEnd End, string? Message)> PlayAsync(
        AgentSession session, Scoreboard board, IConversationView view, Interrupt interrupt)
    {
        for (int number = 1; number <= _turns; number++)
        {
            ScriptedTurn script = _script.Next();
            view.BeginTurn(number, script.UserText);
            AgentTurn turn;
            try
            {
                turn = await interrupt.RunAsync(token => session.AskAsync(script.UserText, view, token));
            }
            catch (OperationCanceledException)
            {
                view.AbandonTurn();
                return (ConversationEnd.Cancelled, $"Cancelled in turn {number} of {_turns}.");
            }
            catch (ContextLengthException e) when (number > 1)
            {
                view.AbandonTurn();
                string needed = e.PromptTokens > 0 ? $" With this turn it would have {Figures.Count(e.PromptTokens)}." : "";
                return (ConversationEnd.ContextFull, Full(number - 1, session.Model) + needed);
            }

            foreach (RoundUsage round in turn.Rounds)
                board.Usage.Add(round);
            view.EndTurn(turn, board.Add(script, turn));
            if (turn.IsCut && turn.Rounds[^1].ContextTokens >= session.Model.ContextTokens)
                return (ConversationEnd.ContextFull, Full(number, session.Model) + " The last answer is cut off there.");
        }

        return (ConversationEnd.Complete, null);
    }

    private string Full(int turns, LlmModelInfo model) =>
        $"The context is full: the conversation ends after {turns} of {_turns} turns. The model holds {Figures.Count(model.ContextTokens)} tokens, "
        + "and nothing of the conversation is dropped to make room.";
}
