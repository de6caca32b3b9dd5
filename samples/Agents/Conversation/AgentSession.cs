using System.Text;
using Agents.Options;
using Agents.Plugins;
using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant;

namespace Agents.Conversation;

/// <summary>
/// A Semantic Kernel agent: a kernel with the local model and the workshop's plugins, and the whole conversation as its history. Nothing is
/// ever left out of the history; the engine finds the cache that already holds most of it.
/// </summary>
internal sealed class AgentSession : IAsyncDisposable
{
    private readonly Kernel _kernel;
    private readonly IChatCompletionService _chat;
    private readonly LogQuantPromptExecutionSettings _settings;
    private readonly ToolRecorder _recorder;
    private readonly string _systemPrompt;
    private readonly ChatHistory _history = [];

    private AgentSession(Kernel kernel, LogQuantPromptExecutionSettings settings, ToolRecorder recorder, string systemPrompt)
    {
        _kernel = kernel;
        _settings = settings;
        _recorder = recorder;
        _systemPrompt = systemPrompt;
        _chat = kernel.GetRequiredService<IChatCompletionService>();
        _history.AddSystemMessage(systemPrompt);
    }

    /// <summary>Facts about the model.</summary>
    public required LlmModelInfo Model { get; init; }

    /// <summary>The tools by name, as the model sees them.</summary>
    public IEnumerable<string> ToolNames => _kernel.Plugins.SelectMany(p => p.Select(f => $"{p.Name}-{f.Name}"));

    /// <summary>Builds the kernel and loads the model.</summary>
    /// <exception cref="LocalLlmException">The model cannot be loaded.</exception>
    public static Task<AgentSession> LoadAsync(SampleOptions options, string systemPrompt, CancellationToken cancellationToken) =>
        LoadAsync(
            builder => builder.AddLogQuantChatCompletion(engine => LocalModel.Configure(engine, options)),
            LocalModel.Settings(options, isRepeatable: !options.IsChat),
            systemPrompt,
            cancellationToken);

    /// <summary>Builds the kernel with a model added by the caller, and loads it.</summary>
    internal static async Task<AgentSession> LoadAsync(
        Action<IKernelBuilder> addModel, LogQuantPromptExecutionSettings settings, string systemPrompt, CancellationToken cancellationToken)
    {
        IKernelBuilder builder = Kernel.CreateBuilder();
        addModel(builder);
        var recorder = new ToolRecorder();
        builder.Services.AddSingleton<IAutoFunctionInvocationFilter>(recorder);
        Kernel kernel = builder.Build();
        try
        {
            // The engine loads on first use; asking for its facts is one.
            var engine = kernel.GetRequiredService<ILlmEngine>();
            LlmModelInfo model = await Task.Run(() => engine.Model, cancellationToken).WaitAsync(cancellationToken);
            kernel.OpenWorkshop();
            return new AgentSession(kernel, settings, recorder, systemPrompt) { Model = model };
        }
        catch
        {
            await DisposeAsync(kernel);
            throw;
        }
    }

    /// <summary>Goes on with a conversation that someone else keeps, with the kernel's own plugins.</summary>
    /// <param name="kernel">A kernel for this conversation alone: its tool calls are recorded by a filter of the session's.</param>
    /// <param name="engine">The engine behind the kernel; waits for it to be loaded.</param>
    /// <param name="settings">How to answer.</param>
    /// <param name="systemPrompt">What the agent is told first.</param>
    /// <param name="history">What was said before.</param>
    public static AgentSession Continue(
        Kernel kernel, ILlmEngine engine, LogQuantPromptExecutionSettings settings, string systemPrompt, IEnumerable<ChatMessageContent> history)
    {
        var recorder = new ToolRecorder();
        kernel.AutoFunctionInvocationFilters.Add(recorder);
        var session = new AgentSession(kernel, settings, recorder, systemPrompt) { Model = engine.Model };
        session._history.AddRange(history);
        return session;
    }

    /// <summary>Begins again: an empty conversation, and a workshop in which nothing has happened.</summary>
    public void Reset()
    {
        _history.Clear();
        _history.AddSystemMessage(_systemPrompt);
        _kernel.OpenWorkshop();
    }

    /// <summary>Asks the agent. If it fails or is cancelled, the conversation is as it was before.</summary>
    /// <exception cref="ContextLengthException">The conversation does not fit the model's context any more.</exception>
    public async Task<AgentTurn> AskAsync(string text, ITurnListener listener, CancellationToken cancellationToken)
    {
        int before = _history.Count;
        var uses = new List<ToolUse>();
        var rounds = new List<RoundUsage>();
        var answer = new StringBuilder();
        _recorder.Begin(use =>
        {
            uses.Add(use);
            listener.OnToolUse(use);
        });

        try
        {
            _history.AddUserMessage(text);
            await foreach (StreamingChatMessageContent part in
                _chat.GetStreamingChatMessageContentsAsync(_history, _settings, _kernel, cancellationToken))
            {
                // Where the recorder stops the agent, the stream ends on the last tool's result, which was heard of already.
                if (part.Role == AuthorRole.Tool)
                    continue;
                foreach (StreamingReasoningContent thought in part.Items.OfType<StreamingReasoningContent>())
                    listener.OnReasoning(thought.ToString());
                if (part.Content is { Length: > 0 } delta)
                {
                    answer.Append(delta);
                    listener.OnText(delta);
                }

                if (RoundUsage.From(part.Metadata) is not { } usage)
                    continue;
                rounds.Add(usage);
                listener.OnRound(usage);

                // The service itself writes a round that calls tools into the history, with its results; the last answer is ours to write.
                if (usage.FinishReason == "tool_calls")
                    answer.Clear();
            }

            foreach (ToolUse refused in Refused(_history.Skip(before), uses))
            {
                uses.Add(refused);
                listener.OnToolUse(refused);
            }

            var turn = new AgentTurn(answer.ToString(), uses, rounds);
            if (!turn.IsStopped)
                _history.AddAssistantMessage(turn.Answer);
            return turn;
        }
        catch
        {
            _history.RemoveRange(before, _history.Count - before);
            throw;
        }
    }

    /// <summary>Calls that never reached the kernel's filters: of a tool that does not exist, or with arguments that are no JSON.</summary>
    private static List<ToolUse> Refused(IEnumerable<ChatMessageContent> messages, List<ToolUse> recorded)
    {
        List<KernelContent> items = [.. messages.SelectMany(m => m.Items)];
        return
        [
            .. items.OfType<FunctionCallContent>()
                .Where(call => !recorded.Exists(use => use.Id == call.Id))
                .Select(call => ToolUse.Create(call.Id, call.PluginName, call.FunctionName, call.Arguments,
                    items.OfType<FunctionResultContent>().FirstOrDefault(r => r.CallId == call.Id)?.Result)),
        ];
    }

    public ValueTask DisposeAsync() => DisposeAsync(_kernel);

    // The container owns the engine, so disposing of it frees the weights.
    private static async ValueTask DisposeAsync(Kernel kernel)
    {
        if (kernel.Services is IAsyncDisposable services)
            await services.DisposeAsync();
    }
}
