using System.Diagnostics;
using Agents.Conversation;
using Agents.Display;
using Agents.Scoring;

namespace Agents.Scenes;

/// <summary>One agent and one conversation, which is judged where it has a script.</summary>
/// <param name="conversation">The user's side.</param>
internal sealed class ConversationScene(IConversation conversation) : IScene
{
    public async Task<SceneResult> RunAsync(SceneContext context)
    {
        (_, Terminal terminal, Interrupt interrupt) = context;
        await using AgentSession session = await interrupt.RunAsync(token => terminal.WaitAsync(
            "loading the model", () => AgentSession.LoadAsync(context.Options, conversation.SystemPrompt, token)));
        Heading.Write(terminal, context.Options, session.Model, session.ToolNames);

        var board = new Scoreboard();
        var clock = Stopwatch.StartNew();
        ConversationEnd end = await conversation.RunAsync(session, board, terminal, interrupt);
        if (board.Turns > 0)
            Summary.Write(terminal, session.Model, board);
        return new(end, ResultJson.Of(context.Options, session.Model, board, end, clock.Elapsed));
    }
}
