using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Agents.Conversation;
using Agents.Display;
using Agents.Scoring;
using LocalLlm;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using SK.Connectors.LogQuant;

namespace Agents.Scenes;

/// <summary>
/// An agent of Microsoft's Agent Framework is told facts; its session is stored in a file, its KV cache under a name that the session holds, and agent and
/// model are dropped. A new agent on a newly loaded model reads the session, has the cache brought back, and is asked for the facts.
/// </summary>
internal sealed class ResumeScene : IScene
{
    // Where the session's state holds the name of its conversation.
    private const string ConversationKey = "logquant.conversation";

    private const string Instructions = "You keep the records of a small team. Remember what you are told.";

    internal static readonly IReadOnlyList<string> Told =
    [
        "We gave Mirvelo falcon-417 as the locker code. Please remember it.",
        "Keep this in mind. We gave Dorban silver otter as the team mascot.",
        "Please note: We gave Talquin maple-220 as the gate code.",
    ];

    internal static readonly IReadOnlyList<(string Question, string Expected)> Asked =
    [
        ("What is the locker code for Mirvelo?", "falcon-417"),
        ("Do you remember the team mascot for Dorban?", "silver otter"),
        ("Tell me the gate code for Talquin.", "maple-220"),
    ];

    public async Task<SceneResult> RunAsync(SceneContext context)
    {
        var transcript = new Transcript(context.Terminal);
        var usage = new UsageTotals();
        var clock = Stopwatch.StartNew();
        string folder = Directory.CreateTempSubdirectory("logquant-session-").FullName;
        string file = Path.Combine(folder, "session.json");
        context = context with { Options = context.Options with { SpillDirectory = Path.Combine(folder, "caches") } };
        SavedConversation? saved = null, restored = null;
        LlmModelInfo? model = null;
        int right = 0, asked = 0;
        var end = ConversationEnd.Complete;
        try
        {
            await using (ILlmEngine engine = await context.LoadEngineAsync())
            {
                model = engine.Model;
                Heading.Write(context.Terminal, context.Options, model, []);
                saved = await context.Interrupt.RunAsync(token => TellAsync(engine, context, transcript, usage, file, token));
            }

            long bytes = new FileInfo(file).Length;
            transcript.Note($"The session is in {file} ({Figures.Bytes(bytes)}), its cache of {saved.Tokens} tokens beside it ({Figures.Bytes(saved.Bytes)}). "
                + "The agent and the model are gone; both begin anew.");
            await using (ILlmEngine engine = await context.LoadEngineAsync())
                (right, asked, restored) = await context.Interrupt.RunAsync(token => AskAsync(engine, context, transcript, usage, file, token));
            transcript.Note($"{right} of {asked} facts remembered.");
        }
        catch (OperationCanceledException) when (model is not null)
        {
            end = ConversationEnd.Cancelled;
            transcript.Note("Cancelled.");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return new(end, ResultJson.Of(context.Options, model, end, clock.Elapsed, new JsonObject
        {
            ["saved_tokens"] = saved?.Tokens,
            ["restored_tokens"] = restored?.Tokens,
            ["facts_told"] = Told.Count,
            ["facts_asked"] = asked,
            ["facts_remembered"] = right,
            ["prompt_tokens"] = usage.PromptTokens,
            ["cached_prompt_tokens"] = usage.CachedPromptTokens,
            ["completion_tokens"] = usage.CompletionTokens,
            ["kv_bytes"] = usage.KvBytes,
            ["kv_bytes_fp16"] = usage.KvBytesFp16,
        }));
    }

    private static ChatClientAgent Agent(IChatClient client) => client.AsAIAgent(instructions: Instructions, name: "planner");

    private static async Task<SavedConversation> TellAsync(
        ILlmEngine engine, SceneContext context, Transcript transcript, UsageTotals usage, string file, CancellationToken cancellationToken)
    {
        var client = new LogQuantChatClient(engine);
        ChatClientAgent agent = Agent(client);
        Microsoft.Agents.AI.AgentSession session = await agent.CreateSessionAsync(cancellationToken);
        foreach (string text in Told)
            await SayAsync(agent, session, text, context, transcript, usage, cancellationToken);
        string name = $"planner {Guid.NewGuid():N}";
        if (!session.TryGetInMemoryChatHistory(out List<ChatMessage>? messages))
            throw new InvalidOperationException("The agent keeps its messages elsewhere than in the session.");
        SavedConversation saved = await client.SaveConversationAsync(name, messages, new ChatOptions { Instructions = Instructions }, cancellationToken);
        session.StateBag.SetValue(ConversationKey, name);
        JsonElement state = await agent.SerializeSessionAsync(session, cancellationToken: cancellationToken);
        await File.WriteAllTextAsync(file, state.GetRawText(), cancellationToken);
        return saved;
    }

    private static async Task<(int Right, int Asked, SavedConversation? Restored)> AskAsync(
        ILlmEngine engine, SceneContext context, Transcript transcript, UsageTotals usage, string file, CancellationToken cancellationToken)
    {
        var client = new LogQuantChatClient(engine);
        ChatClientAgent agent = Agent(client);
        using JsonDocument state = JsonDocument.Parse(await File.ReadAllTextAsync(file, cancellationToken));
        Microsoft.Agents.AI.AgentSession session = await agent.DeserializeSessionAsync(state.RootElement, cancellationToken: cancellationToken);
        SavedConversation? restored = session.StateBag.GetValue<string>(ConversationKey) is { } name
            ? await client.RestoreConversationAsync(name, cancellationToken)
            : null;
        transcript.Note(restored is null ? "Its cache is not there and is computed anew." : $"The cache of {restored.Tokens} tokens is back in memory.");
        int right = 0;
        foreach ((string question, string expected) in Asked)
        {
            string answer = await SayAsync(agent, session, question, context, transcript, usage, cancellationToken);
            right += answer.Contains(expected, StringComparison.OrdinalIgnoreCase) ? 1 : 0;
        }

        return (right, Asked.Count, restored);
    }

    private static async Task<string> SayAsync(ChatClientAgent agent, Microsoft.Agents.AI.AgentSession session, string text, SceneContext context,
        Transcript transcript, UsageTotals usage, CancellationToken cancellationToken)
    {
        transcript.Line("you", "aqua", text);
        var options = new ChatClientAgentRunOptions(new ChatOptions
        {
            Temperature = 0,
            Seed = context.Options.Seed,
            MaxOutputTokens = context.Options.AnswerTokens,
        });
        var answer = new StringBuilder();
        RoundUsage? last = null;
        transcript.Label("agent", "green");
        try
        {
            await foreach (AgentResponseUpdate update in agent.RunStreamingAsync(text, session, options, cancellationToken))
            {
                answer.Append(update.Text);
                transcript.Continue(update.Text);
                if (RoundUsage.From(update) is not { } round)
                    continue;
                usage.Add(round);
                last = round;
            }
        }
        finally
        {
            transcript.End();
        }

        if (last is not null)
            transcript.Usage(last);
        return answer.ToString();
    }
}
