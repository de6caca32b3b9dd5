using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>From messages and <see cref="ChatOptions"/> to a request for the engine. What cannot be honoured is an error.</summary>
internal static class ChatRequestMapper
{
    public static ChatRequest Map(IEnumerable<ChatMessage> messages, ChatOptions? options, IChatClient client, ILogger logger)
    {
        var settings = options ?? new ChatOptions();
        RefuseUnsupported(settings);

        var raw = Raw(settings, client);
        var turns = TurnMapper.Map(messages, settings.Instructions);
        if (raw.Prompt is not null && turns.Count > 0)
            throw new ArgumentException($"{nameof(GenerationRequest)}.{nameof(GenerationRequest.Prompt)} is a raw prompt and excludes messages; "
                + $"{turns.Count} were given. Pass one or the other.", nameof(messages));
        if (raw.Prompt is null && turns.Count == 0 && raw.Turns.Count == 0)
            throw new ArgumentException("There is no message to answer; give at least one.", nameof(messages));

        var properties = AdditionalOptions.Read(settings.AdditionalProperties, logger);
        var mode = settings.ToolMode;
        var tools = ToolMapper.Map(settings.Tools, mode);
        var reasoning = settings.Reasoning;

        var generation = raw with
        {
            Turns = turns.Count > 0 ? turns : raw.Turns,
            Tools = tools.Count > 0 || mode is not null ? tools : raw.Tools,
            ToolChoice = ToolMapper.Choice(mode) ?? raw.ToolChoice,
            AllowParallelToolCalls = settings.AllowMultipleToolCalls ?? raw.AllowParallelToolCalls,
            Constraint = OutputConstraints.Of(settings.ResponseFormat, properties.Constraint, raw.Constraint),
            Sampling = Sampling(settings, properties, raw.Sampling),
            TopLogprobs = properties.TopLogprobs ?? raw.TopLogprobs,
            MaxTokens = settings.MaxOutputTokens ?? raw.MaxTokens,
            StopSequences = settings.StopSequences is { } stops ? [.. stops] : raw.StopSequences,
            TemplateVariables = TemplateVariables(reasoning?.Effort, properties, raw.TemplateVariables),
        };
        if (generation.Prompt is not null && generation.Tools.Count > 0)
            throw new NotSupportedException("A raw prompt is not rendered by the chat template, so tools cannot be shown to the model. "
                + "Send messages instead, or leave the tools out.");
        return new ChatRequest(generation)
        {
            HideReasoning = reasoning?.Output == ReasoningOutput.None,
        };
    }

    private static void RefuseUnsupported(ChatOptions options)
    {
        if (options.ConversationId is not null)
            throw new NotSupportedException($"{nameof(ChatOptions)}.{nameof(ChatOptions.ConversationId)} is '{options.ConversationId}', but this "
                + "client keeps no conversations: send the whole history each time and leave it null. The KV cache is reused by the tokens.");
        if (options.ContinuationToken is not null)
            throw new NotSupportedException($"{nameof(ChatOptions)}.{nameof(ChatOptions.ContinuationToken)} is set, but this client has no "
                + "background responses to continue; leave it null.");
        if (options.ResponseFormat is not (null or ChatResponseFormatText or ChatResponseFormatJson))
            throw new NotSupportedException($"{nameof(ChatOptions)}.{nameof(ChatOptions.ResponseFormat)} is a "
                + $"{options.ResponseFormat.GetType().Name}; use text, JSON or a JSON schema.");
        if (options.Reasoning?.Output == ReasoningOutput.Summary)
            throw new NotSupportedException($"{nameof(ReasoningOptions)}.{nameof(ReasoningOptions.Output)} is {nameof(ReasoningOutput.Summary)}, "
                + $"but a local model's reasoning is not summarised; use {nameof(ReasoningOutput.Full)} or {nameof(ReasoningOutput.None)}.");
    }

    private static GenerationRequest Raw(ChatOptions options, IChatClient client) =>
        options.RawRepresentationFactory?.Invoke(client) switch
        {
            null => new GenerationRequest(),
            GenerationRequest request => request,
            var other => throw new NotSupportedException($"{nameof(ChatOptions)}.{nameof(ChatOptions.RawRepresentationFactory)} returned a "
                + $"{other.GetType()}; this client takes a {typeof(GenerationRequest)} or null."),
        };

    private static SamplingOptions? Sampling(ChatOptions options, AdditionalOptions properties, SamplingOptions? raw)
    {
        var basis = raw ?? new SamplingOptions();
        var sampling = basis with
        {
            Temperature = options.Temperature ?? basis.Temperature,
            TopK = options.TopK ?? basis.TopK,
            TopP = options.TopP ?? basis.TopP,
            MinP = properties.MinP ?? basis.MinP,
            RepetitionPenalty = properties.RepetitionPenalty ?? basis.RepetitionPenalty,
            FrequencyPenalty = options.FrequencyPenalty ?? basis.FrequencyPenalty,
            PresencePenalty = options.PresencePenalty ?? basis.PresencePenalty,
            Seed = options.Seed ?? basis.Seed,
        };
        return raw is null && sampling == new SamplingOptions() ? null : sampling;
    }

    /// <summary>
    /// Templates know three conventions: <c>enable_thinking</c> (Qwen, GLM), <c>thinking</c> (DeepSeek, Granite) and <c>reasoning_effort</c>
    /// (gpt-oss); all are set, and a template reads its own.
    /// </summary>
    private static Dictionary<string, JsonElement> TemplateVariables(
        ReasoningEffort? effort, AdditionalOptions properties, IReadOnlyDictionary<string, JsonElement> raw)
    {
        var variables = new Dictionary<string, JsonElement>(raw);
        if (effort is { } value)
        {
            variables["enable_thinking"] = variables["thinking"] = JsonSerializer.SerializeToElement(value != ReasoningEffort.None);
            variables["reasoning_effort"] = JsonSerializer.SerializeToElement(ReasoningEfforts.Name(value));
        }
        foreach (var (name, variable) in properties.TemplateVariables)
            variables[name] = variable;
        return variables;
    }
}
