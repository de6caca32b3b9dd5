using System.Runtime.CompilerServices;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Mapping;
using ChatRole = Microsoft.Extensions.AI.ChatRole;

namespace SK.Connectors.LogQuant;

/// <summary>
/// An <see cref="IChatClient"/> over a local engine. It borrows the engine: disposing of the client leaves the engine running. Safe for
/// concurrent use. It keeps no conversations: send the whole history each time; the engine finds the KV cache that continues it.
/// </summary>
/// <remarks>
/// <para>An option that cannot be honoured is an error: <see cref="ChatOptions.ConversationId"/>, tools that are no functions, contents that are
/// not text, a schema with keywords that cannot be enforced. The keys <c>min_p</c>, <c>repetition_penalty</c>, <c>template_variables</c> (an
/// object), <c>guided_json</c> (a schema), <c>guided_regex</c> and <c>guided_choice</c> (a list of texts) of
/// <see cref="ChatOptions.AdditionalProperties"/> are understood; other keys are logged as without effect.
/// <see cref="ChatOptions.RawRepresentationFactory"/> may return a <see cref="GenerationRequest"/>, for instance one with a raw prompt or a
/// constraint; options that are set override it.</para>
/// <para><see cref="ChatOptions.ResponseFormat"/> and <see cref="ChatOptions.ToolMode"/> are enforced while the model writes: JSON is valid
/// against its schema, a call is one of an offered function with arguments valid against its schema, <see cref="ChatToolMode.RequireAny"/>
/// leaves nothing else, and with <see cref="ChatToolMode.None"/> the model sees the tools but cannot call them. An answer that its token limit
/// cuts short is incomplete: its finish reason is <see cref="ChatFinishReason.Length"/>, and of a call that is not whole nothing is given.</para>
/// </remarks>
public sealed class LogQuantChatClient : IChatClient
{
    private readonly ILlmEngine _engine;
    private readonly ILogger _logger;

    /// <summary>Creates a client for an engine, which it does not dispose of.</summary>
    /// <param name="engine">The engine that answers.</param>
    /// <param name="loggerFactory">For warnings; contents are never logged here.</param>
    public LogQuantChatClient(ILlmEngine engine, ILoggerFactory? loggerFactory = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        _engine = engine;
        _logger = loggerFactory?.CreateLogger<LogQuantChatClient>() ?? NullLogger<LogQuantChatClient>.Instance;
    }

    /// <inheritdoc/>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        var updates = new List<ChatResponseUpdate>();
        await foreach (var update in GetStreamingResponseAsync(messages, options, cancellationToken).ConfigureAwait(false))
            updates.Add(update);
        return ResponseMapper.Join(updates);
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return StreamAsync(messages, options, cancellationToken);
    }

    /// <summary>The engine's conversations under names.</summary>
    internal IConversationStore Conversations => _engine as IConversationStore
        ?? throw new NotSupportedException($"The engine is a {_engine.GetType()}, which is no {nameof(IConversationStore)} and so cannot save conversations.");

    /// <inheritdoc cref="LogQuantConversations.SaveConversationAsync(IChatClient, string, IEnumerable{ChatMessage}, ChatOptions?, CancellationToken)"/>
    internal Task<SavedConversation> SaveConversationAsync(
        string name, IEnumerable<ChatMessage> messages, ChatOptions? options, CancellationToken cancellationToken) =>
        Conversations.SaveConversationAsync(name, ChatRequestMapper.Map(messages, options, this, _logger).Generation, cancellationToken);

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var request = ChatRequestMapper.Map(messages, options, this, _logger);
        var model = await _engine.GetModelAsync(cancellationToken).ConfigureAwait(false);
        if (options?.ModelId is { } wanted && wanted != model.ModelId)
            throw new ArgumentException($"{nameof(ChatOptions)}.{nameof(ChatOptions.ModelId)} is '{wanted}', but this client's engine runs "
                + $"'{model.ModelId}'. Leave it null, or use the client of that model.", nameof(options));

        var answer = new Answer(model.ModelId);
        await foreach (var update in _engine.GenerateAsync(request.Generation, cancellationToken).ConfigureAwait(false))
        {
            switch (update)
            {
                case LogprobUpdate { Token: var token }:
                    answer.Add(token);
                    break;
                case TextDelta delta:
                    yield return answer.Update(new TextContent(delta.Text));
                    break;
                case ReasoningDelta delta when !request.HideReasoning:
                    yield return answer.Update(new TextReasoningContent(delta.Text));
                    break;
                case ToolCallUpdate { Call: var call }:
                    yield return answer.Update(CallArguments.ToContent(call));
                    break;
                case GenerationCompleted completed:
                    yield return answer.Last(completed);
                    break;
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>Offers <see cref="ChatClientMetadata"/>, <see cref="ILlmEngine"/> and the client itself.</remarks>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
            return null;
        if (serviceType == typeof(ChatClientMetadata))
            return new ChatClientMetadata("logquant", defaultModelId: _engine.GetModelId());
        if (serviceType.IsInstanceOfType(this))
            return this;
        return serviceType.IsInstanceOfType(_engine) ? _engine : null;
    }

    /// <summary>Does nothing: the engine belongs to whoever made it.</summary>
    public void Dispose()
    {
    }

    /// <summary>What all updates of one answer share.</summary>
    private sealed class Answer(string modelId)
    {
        private readonly string _id = $"chat_{Guid.NewGuid():N}";
        private readonly DateTimeOffset _createdAt = DateTimeOffset.UtcNow;

        /// <summary>Tokens sampled since the last update.</summary>
        private List<TokenLogprob> _logprobs = [];

        public void Add(TokenLogprob token) => _logprobs.Add(token);

        public ChatResponseUpdate Update(params IList<AIContent> contents)
        {
            var update = new ChatResponseUpdate(ChatRole.Assistant, contents)
            {
                ResponseId = _id,
                MessageId = _id,
                CreatedAt = _createdAt,
                ModelId = modelId,
            };
            if (_logprobs.Count > 0)
            {
                update.AdditionalProperties = new() { [LogQuantMetadata.ContentTokenLogProbabilities] = _logprobs };
                _logprobs = [];
            }
            return update;
        }

        public ChatResponseUpdate Last(GenerationCompleted completed)
        {
            var update = Update(new UsageContent(ResponseMapper.Usage(completed.Usage)));
            update.FinishReason = ResponseMapper.FinishReason(completed.FinishReason);
            var rest = update.AdditionalProperties;
            update.AdditionalProperties = ResponseMapper.Properties(completed.Usage);
            foreach (var (key, value) in rest ?? [])
                update.AdditionalProperties[key] = value;
            update.RawRepresentation = completed;
            return update;
        }
    }
}
