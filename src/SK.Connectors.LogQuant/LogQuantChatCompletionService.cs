using System.Collections.ObjectModel;
using System.Runtime.CompilerServices;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.Services;
using Microsoft.SemanticKernel.TextGeneration;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.ToolLoop;
using TextContent = Microsoft.SemanticKernel.TextContent;

namespace SK.Connectors.LogQuant;

/// <summary>
/// Semantic Kernel's chat completion over a local engine, which it borrows. Safe for concurrent use. Functions are offered and called as
/// the settings' <see cref="FunctionChoiceBehavior"/> says, for 128 rounds at most; the calls and their results are added to the history.
/// </summary>
/// <remarks>
/// <para>As <see cref="ITextGenerationService"/> it continues the prompt as it is, without the chat template and without functions.</para>
/// <para>The choice is enforced while the model writes: a call is one of an offered function with arguments valid against its schema (whatever
/// <see cref="FunctionChoiceBehaviorOptions.AllowStrictSchemaAdherence"/> says), <see cref="FunctionChoiceBehavior.Required"/> leaves nothing but
/// calls in the first round, and with <see cref="FunctionChoiceBehavior.None"/> the model sees the functions but cannot call them. Once functions
/// were shown to it they stay in the prompt for the rest of the rounds, so that the KV cache stays valid.</para>
/// <para>The metadata of messages is described by <see cref="LogQuantMetadata"/>.</para>
/// </remarks>
public sealed class LogQuantChatCompletionService : IChatCompletionService, ITextGenerationService
{
    /// <summary>Key in <see cref="Attributes"/> of the context's length in tokens, once the model is loaded.</summary>
    public const string ContextLengthKey = "ContextLength";

    /// <summary>Key in <see cref="Attributes"/> of the bits per element of old tokens in the KV cache, once the model is loaded.</summary>
    public const string KvBitsKey = "KvBits";

    private readonly ILlmEngine _engine;
    private readonly IChatClient _client;
    private readonly ILogger _logger;

    /// <summary>Creates a service for an engine, which it does not dispose of.</summary>
    /// <param name="engine">The engine that answers.</param>
    /// <param name="loggerFactory">For logs; contents of conversations are logged at Trace only.</param>
    public LogQuantChatCompletionService(ILlmEngine engine, ILoggerFactory? loggerFactory = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        loggerFactory ??= NullLoggerFactory.Instance;
        _engine = engine;
        _client = new LogQuantChatClient(engine, loggerFactory).AsBuilder().UseOpenTelemetry(loggerFactory).UseLogging(loggerFactory).Build();
        _logger = loggerFactory.CreateLogger<LogQuantChatCompletionService>();
    }

    /// <summary>The model's id; once it is loaded, also the context's length and the KV cache's bits.</summary>
    public IReadOnlyDictionary<string, object?> Attributes
    {
        get
        {
            var attributes = new Dictionary<string, object?> { [AIServiceExtensions.ModelIdKey] = _engine.GetModelId() };
            if (_engine.TryGetModel() is { } model)
            {
                attributes[ContextLengthKey] = model.ContextTokens;
                attributes[KvBitsKey] = model.KvBits;
            }
            return new ReadOnlyDictionary<string, object?>(attributes);
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ChatMessageContent>> GetChatMessageContentsAsync(
        ChatHistory chatHistory, PromptExecutionSettings? executionSettings = null, Kernel? kernel = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chatHistory);
        var settings = LogQuantPromptExecutionSettings.FromExecutionSettings(executionSettings);
        var offer = FunctionOffer.Nothing;
        for (var round = 0; ; round++)
        {
            offer = FunctionOffer.Create(settings.FunctionChoiceBehavior, chatHistory, round, kernel, offer, _logger);
            var current = offer;
            var responses = await Candidates.GetAsync(_client, HistoryMapper.Map(chatHistory), () => Options(settings, current, chatHistory),
                Candidates.Count(settings, offer), cancellationToken).ConfigureAwait(false);
            var messages = responses.Select(r => MessageFactory.Create(r, current)).ToArray();
            if (messages is not [var message] || !MustCall(offer, message))
                return messages;

            var runner = new FunctionCallRunner(kernel!, offer, settings, chatHistory, isStreaming: false, _logger);
            if (await runner.RunAsync(message, round, cancellationToken).ConfigureAwait(false) is { } last)
                return [last];
        }
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<StreamingChatMessageContent> GetStreamingChatMessageContentsAsync(
        ChatHistory chatHistory, PromptExecutionSettings? executionSettings = null, Kernel? kernel = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chatHistory);
        return StreamAsync(chatHistory, LogQuantPromptExecutionSettings.FromExecutionSettings(executionSettings), kernel, cancellationToken);
    }

    private async IAsyncEnumerable<StreamingChatMessageContent> StreamAsync(
        ChatHistory history, LogQuantPromptExecutionSettings settings, Kernel? kernel,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var offer = FunctionOffer.Nothing;
        for (var round = 0; ; round++)
        {
            offer = FunctionOffer.Create(settings.FunctionChoiceBehavior, history, round, kernel, offer, _logger);
            var current = offer;
            if (Candidates.Count(settings, offer) is > 1 and var count)
            {
                var callCounts = new int[count];
                await foreach (var (index, part) in Candidates.StreamAsync(
                    _client, HistoryMapper.Map(history), () => Options(settings, current, history), count, cancellationToken).ConfigureAwait(false))
                    yield return MessageFactory.CreateStreaming(part, round, ref callCounts[index], index);
                yield break;
            }

            var updates = new List<ChatResponseUpdate>();
            var callCount = 0;
            await foreach (var update in _client.GetStreamingResponseAsync(
                HistoryMapper.Map(history), Options(settings, offer, history), cancellationToken).ConfigureAwait(false))
            {
                updates.Add(update);
                yield return MessageFactory.CreateStreaming(update, round, ref callCount);
            }

            var message = MessageFactory.Create(Mapping.ResponseMapper.Join(updates), offer);
            if (!MustCall(offer, message))
                yield break;

            var runner = new FunctionCallRunner(kernel!, offer, settings, history, isStreaming: true, _logger);
            if (await runner.RunAsync(message, round, cancellationToken).ConfigureAwait(false) is { } last)
            {
                yield return MessageFactory.CreateStreaming(last, message);
                yield break;
            }
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<TextContent>> GetTextContentsAsync(
        string prompt, PromptExecutionSettings? executionSettings = null, Kernel? kernel = null, CancellationToken cancellationToken = default)
    {
        var settings = LogQuantPromptExecutionSettings.FromExecutionSettings(executionSettings);
        var responses = await Candidates.GetAsync(
            _client, [], () => PromptOptions(prompt, settings), Candidates.Count(settings, FunctionOffer.Nothing), cancellationToken).ConfigureAwait(false);
        return [.. responses.Select(r => new TextContent(r.Text, r.ModelId, r, metadata: MessageFactory.Create(r, FunctionOffer.Nothing).Metadata))];
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<StreamingTextContent> GetStreamingTextContentsAsync(
        string prompt, PromptExecutionSettings? executionSettings = null, Kernel? kernel = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var settings = LogQuantPromptExecutionSettings.FromExecutionSettings(executionSettings);
        var callCount = 0;
        await foreach (var (index, update) in Candidates.StreamAsync(
            _client, [], () => PromptOptions(prompt, settings), Candidates.Count(settings, FunctionOffer.Nothing), cancellationToken).ConfigureAwait(false))
        {
            var part = MessageFactory.CreateStreaming(update, round: 0, ref callCount, index);
            yield return new StreamingTextContent(part.Content, index, part.ModelId, update, metadata: part.Metadata);
        }
    }

    /// <summary>The client that answers.</summary>
    internal IChatClient Client => _client;

    /// <summary>Saves a conversation as its next request's first round would send it.</summary>
    internal Task<SavedConversation> SaveConversationAsync(
        string name, ChatHistory history, PromptExecutionSettings? executionSettings, Kernel? kernel, CancellationToken cancellationToken)
    {
        var settings = LogQuantPromptExecutionSettings.FromExecutionSettings(executionSettings);
        var offer = FunctionOffer.Create(settings.FunctionChoiceBehavior, history, round: 0, kernel, FunctionOffer.Nothing, _logger);
        return _client.SaveConversationAsync(name, HistoryMapper.Map(history), Options(settings, offer, history), cancellationToken);
    }

    private static bool MustCall(FunctionOffer offer, ChatMessageContent message) =>
        offer.AutoInvoke && message.Items.Any(i => i is Microsoft.SemanticKernel.FunctionCallContent);

    private static ChatOptions Options(LogQuantPromptExecutionSettings settings, FunctionOffer offer, ChatHistory history)
    {
        var options = new ChatOptions();
        SettingsMapper.Apply(settings, options);
        // A system prompt among the settings stands in for one in the history.
        if (history.Any(m => m.Role == AuthorRole.System || m.Role == AuthorRole.Developer))
            options.Instructions = null;
        offer.Apply(options);
        return options;
    }

    private static ChatOptions PromptOptions(string prompt, LogQuantPromptExecutionSettings settings)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        if (settings.FunctionChoiceBehavior is not (null or NoneFunctionChoiceBehavior))
            throw new NotSupportedException("Text generation continues the prompt as it is, so functions cannot be offered. "
                + $"Use {nameof(IChatCompletionService)} for them, or leave {nameof(PromptExecutionSettings.FunctionChoiceBehavior)} out.");
        var options = new ChatOptions { RawRepresentationFactory = _ => new GenerationRequest { Prompt = prompt } };
        SettingsMapper.Apply(settings, options);
        if (options.Instructions is not null)
            throw new NotSupportedException("Text generation continues the prompt as it is, so a system prompt cannot be added. "
                + $"Use {nameof(IChatCompletionService)} for it.");
        return options;
    }
}
