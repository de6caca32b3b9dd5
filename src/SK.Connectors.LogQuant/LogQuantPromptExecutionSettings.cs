using System.Collections.ObjectModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using SK.Connectors.LogQuant.ToolLoop;

namespace SK.Connectors.LogQuant;

/// <summary>
/// How a prompt is answered. Null everywhere means the model's own default (its <c>generation_config.json</c>). A value out of range is
/// refused by the engine when the request is made; nothing is clamped.
/// </summary>
[JsonNumberHandling(JsonNumberHandling.AllowReadingFromString)]
public sealed class LogQuantPromptExecutionSettings : PromptExecutionSettings
{
    private static readonly JsonSerializerOptions WriteOptions = new() { Converters = { new TypeAsSchemaConverter() } };

    private static readonly JsonSerializerOptions ReadOptions = new()
    {
        AllowTrailingCommas = true,
        PropertyNameCaseInsensitive = true,
        ReadCommentHandling = JsonCommentHandling.Skip,
    };

    /// <summary>Divides the logits; 0 is greedy. Range 0 to 100.</summary>
    [JsonPropertyName("temperature")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Temperature
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Keeps the fewest most probable tokens whose probabilities sum to at least this. Range (0, 1].</summary>
    [JsonPropertyName("top_p")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? TopP
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Keeps the k most probable tokens; 0 keeps all.</summary>
    [JsonPropertyName("top_k")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? TopK
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Keeps tokens at least this probable relative to the most probable one. Range 0 to 1.</summary>
    [JsonPropertyName("min_p")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? MinP
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Makes sampling repeatable; null draws a new seed.</summary>
    [JsonPropertyName("seed")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Seed
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>The most tokens to generate in one round; null for as many as the context holds.</summary>
    [JsonPropertyName("max_tokens")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? MaxTokens
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Texts that end the generation; they are not part of the answer.</summary>
    [JsonPropertyName("stop_sequences")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IList<string>? StopSequences
    {
        get => _stopSequences;
        set => Set(ref _stopSequences, value);
    }

    private IList<string>? _stopSequences;

    /// <summary>Subtracted from a token's logit for each time it was generated. Range -2 to 2.</summary>
    [JsonPropertyName("frequency_penalty")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? FrequencyPenalty
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Subtracted from a token's logit once it was generated. Range -2 to 2.</summary>
    [JsonPropertyName("presence_penalty")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? PresencePenalty
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>Divides positive and multiplies negative logits of tokens seen before; 1 is off.</summary>
    [JsonPropertyName("repetition_penalty")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? RepetitionPenalty
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>
    /// What the answer must be, enforced while the model writes: "text", "json_object", a JSON schema (as <see cref="JsonElement"/>,
    /// <see cref="JsonDocument"/>, <see cref="System.Text.Json.Nodes.JsonNode"/> or text), OpenAI's object of type "json_schema", a
    /// <see cref="Type"/>, or a <see cref="ChatResponseFormat"/>. For a type, all properties are written, named as in it, and enumerations by name
    /// (read them with a <see cref="JsonStringEnumConverter"/>).
    /// </summary>
    [JsonPropertyName("response_format")]
    [JsonConverter(typeof(ResponseFormatConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public object? ResponseFormat
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>
    /// How many answers to give, 1 to 128; null for one. They are generated side by side and share the prompt's KV cache; a <see cref="Seed"/> is
    /// counted up from answer to answer. More than one is refused where functions are called automatically. Each answer's metadata has its own usage.
    /// </summary>
    [JsonPropertyName("results_per_prompt")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? ResultsPerPrompt
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>"none", "low", "medium", "high" or "xhigh", handed to the model's chat template.</summary>
    [JsonPropertyName("reasoning_effort")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ReasoningEffort
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>
    /// Whether to tell the log probabilities of the tokens, in the metadata under <see cref="LogQuantMetadata.ContentTokenLogProbabilities"/>: those of the
    /// model itself, before temperature, penalties and constraints.
    /// </summary>
    [JsonPropertyName("logprobs")]
    [JsonConverter(typeof(OptionalBooleanConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Logprobs
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>How many of the most probable tokens to tell beside each sampled one, 0 to 20; needs <see cref="Logprobs"/>.</summary>
    [JsonPropertyName("top_logprobs")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? TopLogprobs
    {
        get;
        set => Set(ref field, value);
    }

    /// <summary>
    /// Settings of this type as they are; others through JSON, so that what has the same name is taken over, with their
    /// <see cref="PromptExecutionSettings.FunctionChoiceBehavior"/> itself; new ones for null.
    /// </summary>
    /// <param name="settings">Settings of any type, or null.</param>
    /// <exception cref="ArgumentException">A value has the wrong type, or a meaning that is lost on the way; the message names it.</exception>
    public static LogQuantPromptExecutionSettings FromExecutionSettings(PromptExecutionSettings? settings)
    {
        switch (settings)
        {
            case null:
                return new LogQuantPromptExecutionSettings();
            case LogQuantPromptExecutionSettings same:
                return same;
        }

        LogQuantPromptExecutionSettings converted;
        try
        {
            var json = JsonSerializer.Serialize(settings, settings.GetType(), WriteOptions);
            converted = JsonSerializer.Deserialize<LogQuantPromptExecutionSettings>(json, ReadOptions)!;
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"The settings ({settings.GetType().Name}) cannot be read as {nameof(LogQuantPromptExecutionSettings)}: "
                + $"the value at '{e.Path}' has the wrong type. {e.Message}", nameof(settings), e);
        }
        RefuseWhatIsLost(settings, converted);
        // JSON keeps the names of functions only, not the functions.
        converted.FunctionChoiceBehavior = settings.FunctionChoiceBehavior;
        return converted;
    }

    private static void RefuseWhatIsLost(PromptExecutionSettings settings, LogQuantPromptExecutionSettings converted)
    {
        // A format of another vendor's library has no public properties, so that nothing of it is left in JSON.
        if (converted.ResponseFormat is JsonElement { ValueKind: JsonValueKind.Object } format && !format.EnumerateObject().Any())
            throw new ArgumentException($"The response_format of the settings ({settings.GetType().Name}) is an object that cannot be read as JSON; "
                + $"give a JSON schema, a {nameof(Type)} or \"json_object\", or use {nameof(LogQuantPromptExecutionSettings)}.", nameof(settings));
        if (settings.FunctionChoiceBehavior is null
            && converted.ExtensionData?.TryGetValue("ToolCallBehavior", out var behavior) is true
            && behavior is JsonElement { ValueKind: JsonValueKind.Object })
            throw new ArgumentException($"The settings ({settings.GetType().Name}) have a ToolCallBehavior, which only their own connector knows; "
                + $"use {nameof(FunctionChoiceBehavior)}, for instance {nameof(FunctionChoiceBehavior)}.{nameof(FunctionChoiceBehavior.Auto)}().",
                nameof(settings));
    }

    /// <inheritdoc/>
    public override void Freeze()
    {
        if (IsFrozen)
            return;
        base.Freeze();
        if (_stopSequences is not null)
            _stopSequences = new ReadOnlyCollection<string>(_stopSequences);
    }

    /// <inheritdoc/>
    /// <remarks>The copy is not frozen.</remarks>
    public override PromptExecutionSettings Clone() => new LogQuantPromptExecutionSettings
    {
        ServiceId = ServiceId,
        ModelId = ModelId,
        FunctionChoiceBehavior = FunctionChoiceBehavior,
        ExtensionData = ExtensionData is null ? null : new Dictionary<string, object>(ExtensionData),
        Temperature = Temperature,
        TopP = TopP,
        TopK = TopK,
        MinP = MinP,
        Seed = Seed,
        MaxTokens = MaxTokens,
        StopSequences = StopSequences is null ? null : [.. StopSequences],
        FrequencyPenalty = FrequencyPenalty,
        PresencePenalty = PresencePenalty,
        RepetitionPenalty = RepetitionPenalty,
        ResponseFormat = ResponseFormat,
        ResultsPerPrompt = ResultsPerPrompt,
        ReasoningEffort = ReasoningEffort,
        Logprobs = Logprobs,
        TopLogprobs = TopLogprobs,
    };

    /// <summary>Called when a kernel answers through an <see cref="IChatClient"/>: hands these settings over without loss.</summary>
    /// <param name="options">The options that the kernel made of these settings.</param>
    protected override void PrepareChatOptionsForRequest(ChatOptions options)
    {
        base.PrepareChatOptionsForRequest(options);
        if (ResultsPerPrompt is > 1)
            throw new NotSupportedException($"results_per_prompt is {ResultsPerPrompt}, but an {nameof(IChatClient)} gives one answer to a request; "
                + $"use {nameof(LogQuantChatCompletionService)}, or ask as often.");
        SettingsMapper.Apply(this, options);
    }

    private void Set<T>(ref T field, T value)
    {
        ThrowIfFrozen();
        field = value;
    }
}
