using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Agents.Conversation;
using Agents.Display;
using Agents.Plugins;
using Agents.Scoring;
using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant;

namespace Agents.Scenes;

/// <summary>
/// Two agents answer in turn over one history: a planner, who keeps what is told, and a clerk, who has the tools. Each sends its own instructions and
/// then the whole history, so the engine keeps a cache for either, and what the other one said meanwhile is all that is new in a prompt.
/// </summary>
internal sealed class PairScene : IScene
{
    /// <summary>What is asked of whom, and a text that a right answer holds.</summary>
    internal static readonly IReadOnlyList<(string Agent, string Text, string Expected)> Script =
    [
        ("planner", "Please note: We gave Mirvelo falcon-417 as the locker code.", ""),
        ("clerk", "How many units of copper valve are in stock?", "units of copper valve"),
        ("planner", "We gave Dorban silver otter as the team mascot. Please remember it.", ""),
        ("clerk", "Book a pump review on Monday at 09:30.", "pump review on Monday at 09:30"),
        ("planner", "What is the locker code for Mirvelo?", "falcon-417"),
        ("clerk", "What is the team mascot for Dorban?", "silver otter"),
        ("planner", "Tell me the team mascot for Dorban.", "silver otter"),
        ("clerk", "What is in the calendar on Monday?", "pump review at 09:30"),
    ];

    public async Task<SceneResult> RunAsync(SceneContext context)
    {
        await using ILlmEngine engine = await context.LoadEngineAsync();
        var recorder = new ToolRecorder();
        Agent[] agents = [Planner(engine), Clerk(engine, recorder)];
        Heading.Write(context.Terminal, context.Options, engine.Model, agents[1].ToolNames);
        var transcript = new Transcript(context.Terminal);
        foreach (Agent agent in agents)
            transcript.Line(agent.Name, agent.Colour, $"is told: {agent.Instructions}");
        transcript.Note("The agents take turns. Both see everything that was said.");

        var turn = new PairTurn([], recorder, transcript, LocalModel.Settings(context.Options));
        var clock = Stopwatch.StartNew();
        var end = ConversationEnd.Complete;
        int turns = 0, right = 0;
        foreach ((string name, string text, string expected) in Script)
        {
            Agent agent = Array.Find(agents, a => a.Name == name)!;
            try
            {
                string answer = await context.Interrupt.RunAsync(token => turn.AskAsync(agent, text, token));
                turns++;
                right += answer.Contains(expected, StringComparison.OrdinalIgnoreCase) ? 1 : 0;
            }
            catch (OperationCanceledException)
            {
                end = ConversationEnd.Cancelled;
                break;
            }
            catch (ContextLengthException e)
            {
                context.Terminal.Note($"The context is full. {e.Message}");
                end = ConversationEnd.ContextFull;
                break;
            }
        }

        UsageTotals usage = turn.Usage;
        transcript.Note($"{right} of {turns} answers as expected; {Figures.Of(usage.CachedPromptTokens, usage.PromptTokens)} prompt tokens "
            + $"({Figures.Percent(usage.CachedPromptTokens, usage.PromptTokens)}) came from a cache.");
        return new(end, ResultJson.Of(context.Options, engine.Model, end, clock.Elapsed, new JsonObject
        {
            ["agents"] = new JsonArray([.. agents.Select(a => (JsonNode)a.Name)]),
            ["turns"] = turns,
            ["answers_right"] = right,
            ["tool_calls"] = turn.ToolCalls,
            ["messages"] = turn.History.Count,
            ["prompt_tokens"] = usage.PromptTokens,
            ["cached_prompt_tokens"] = usage.CachedPromptTokens,
            ["completion_tokens"] = usage.CompletionTokens,
            ["kv_bytes"] = usage.KvBytes,
            ["kv_bytes_fp16"] = usage.KvBytesFp16,
        }));
    }

    private static Agent Planner(ILlmEngine engine) => new(
        "planner", "green", "You keep the records of a small team. Remember what you are told.", Kernel(engine, _ => { }));

    private static Agent Clerk(ILlmEngine engine, ToolRecorder recorder) => new(
        "clerk", "blue", "You are the assistant of a workshop. Be brief.", Kernel(engine, kernel =>
        {
            kernel.OpenWorkshop();
            kernel.AutoFunctionInvocationFilters.Add(recorder);
        }));

    private static Kernel Kernel(ILlmEngine engine, Action<Kernel> setUp)
    {
        // The kernel borrows the engine: it is not the container's to dispose of.
        Kernel kernel = Microsoft.SemanticKernel.Kernel.CreateBuilder().AddLogQuantChatCompletion(_ => engine).Build();
        setUp(kernel);
        return kernel;
    }

    /// <summary>An agent: instructions, and a kernel with its tools.</summary>
    internal sealed record Agent(string Name, string Colour, string Instructions, Kernel Kernel)
    {
        public IEnumerable<string> ToolNames => Kernel.Plugins.SelectMany(p => p.Select(f => $"{p.Name}-{f.Name}"));
    }

    /// <summary>The common history and what it used.</summary>
    private sealed class PairTurn(ChatHistory history, ToolRecorder recorder, Transcript transcript, LogQuantPromptExecutionSettings settings)
    {
        public ChatHistory History => history;

        public UsageTotals Usage { get; } = new();

        public int ToolCalls { get; private set; }

        public async Task<string> AskAsync(Agent agent, string text, CancellationToken cancellationToken)
        {
            transcript.Line("you", "aqua", text);
            recorder.Begin(use =>
            {
                ToolCalls++;
                transcript.Tool(use);
            });

            // Its own instructions, and everything that anyone said.
            var prompt = new ChatHistory(agent.Instructions);
            prompt.AddRange(history);
            prompt.AddUserMessage(text);
            int sent = prompt.Count;
            var answer = new StringBuilder();
            RoundUsage? last = null;
            await foreach (StreamingChatMessageContent part in agent.Kernel.GetRequiredService<IChatCompletionService>()
                .GetStreamingChatMessageContentsAsync(prompt, settings, agent.Kernel, cancellationToken))
            {
                if (part.Role != AuthorRole.Tool && part.Content is { Length: > 0 } delta)
                {
                    if (answer.Length == 0)
                        transcript.Label(agent.Name, agent.Colour);
                    answer.Append(delta);
                    transcript.Continue(delta);
                }

                if (RoundUsage.From(part.Metadata) is not { } usage)
                    continue;
                Usage.Add(usage);
                last = usage;
                if (answer.Length > 0)
                    transcript.End();
                if (usage.FinishReason == "tool_calls")
                    answer.Clear();
            }

            if (last is not null)
                transcript.Usage(last);
            history.AddUserMessage(text);

            // The service wrote the rounds that called tools into the prompt; they belong to the common history too.
            history.AddRange(prompt.Skip(sent));
            history.Add(new ChatMessageContent(AuthorRole.Assistant, answer.ToString()) { AuthorName = agent.Name });
            return answer.ToString();
        }
    }
}
