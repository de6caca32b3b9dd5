using Agents.Conversation;
using Agents.Display;
using Agents.Options;
using Agents.Scoring;
using DemoModel.Dialogues;
using LocalLlm;

namespace Agents.Scenes;

/// <summary>A user who follows a script.</summary>
internal sealed class ScriptedScene : IConversation
{
    private readonly int _turns;
    private readonly Func<ScriptedTurn> _next;

    /// <summary>The workshop's conversation.</summary>
    /// <param name="options">Turns and seed of the script.</param>
    public ScriptedScene(SampleOptions options)
    {
        _turns = options.Turns ?? SampleOptions.DefaultTurns;
        var script = new WorkshopScript(options.Seed, _turns);
        (SystemPrompt, _next) = (script.SystemPrompt, script.Next);
    }

    /// <summary>A conversation that is given turn by turn.</summary>
    /// <param name="systemPrompt">What the agent is told first.</param>
    /// <param name="turns">What the user says, and what is expected.</param>
    public ScriptedScene(string systemPrompt, IReadOnlyList<ScriptedTurn> turns)
    {
        var left = new Queue<ScriptedTurn>(turns);
        (SystemPrompt, _turns, _next) = (systemPrompt, turns.Count, left.Dequeue);
    }

    public string SystemPrompt { get; }

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
            ScriptedTurn script = _next();
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
                return (ConversationEnd.ContextFull, Full(number - 1, session.Model, e.PromptTokens > 0
                    ? $"the prompt of turn {number} has {Figures.Count(e.PromptTokens)} tokens"
                    : $"turn {number} does not fit"));
            }

            foreach (RoundUsage round in turn.Rounds)
                board.Usage.Add(round);
            view.EndTurn(turn, board.Add(script, turn));
            if (turn.IsCut && turn.Rounds[^1].ContextTokens >= session.Model.ContextTokens)
                return (ConversationEnd.ContextFull, Full(number, session.Model, $"the answer of turn {number} was cut off at the end"));
        }

        return (ConversationEnd.Complete, null);
    }

    private string Full(int turns, LlmModelInfo model, string what) =>
        $"The context is full: {what}, and the model holds {Figures.Count(model.ContextTokens)}, prompt and answer together. Nothing of the conversation "
        + $"is dropped to make room, so it ends after {turns} of {_turns} turns.";
}
