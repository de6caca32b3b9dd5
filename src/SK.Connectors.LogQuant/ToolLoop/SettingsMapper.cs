using System.Text.Json;
using Microsoft.Extensions.AI;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>From the kernel's settings to <see cref="ChatOptions"/>.</summary>
internal static class SettingsMapper
{
    /// <summary>Keys by which settings of other connectors carry a system prompt.</summary>
    private static readonly string[] SystemPromptKeys = ["chat_system_prompt", "chat_developer_prompt"];

    public static void Apply(LogQuantPromptExecutionSettings settings, ChatOptions options)
    {
        options.Temperature = (float?)settings.Temperature;
        options.TopP = (float?)settings.TopP;
        options.TopK = settings.TopK;
        options.Seed = settings.Seed;
        options.MaxOutputTokens = settings.MaxTokens;
        options.StopSequences = settings.StopSequences is { } stops ? [.. stops] : null;
        options.FrequencyPenalty = (float?)settings.FrequencyPenalty;
        options.PresencePenalty = (float?)settings.PresencePenalty;
        options.ResponseFormat = ResponseFormats.Parse(settings.ResponseFormat);
        options.Reasoning = settings.ReasoningEffort is { } effort ? new ReasoningOptions { Effort = ReasoningEfforts.Parse(effort) } : null;

        var properties = new AdditionalPropertiesDictionary();
        foreach (var (key, value) in settings.ExtensionData ?? new Dictionary<string, object>())
            properties[key] = value;
        foreach (var key in SystemPromptKeys)
        {
            if (properties.Remove(key, out var prompt) && Text(prompt) is { } instructions)
                options.Instructions ??= instructions;
        }
        SetOrRemove(properties, AdditionalOptions.MinPKey, settings.MinP);
        SetOrRemove(properties, AdditionalOptions.RepetitionPenaltyKey, settings.RepetitionPenalty);
        SetOrRemove(properties, AdditionalOptions.LogprobsKey, settings.Logprobs);
        SetOrRemove(properties, AdditionalOptions.TopLogprobsKey, settings.TopLogprobs);
        options.AdditionalProperties = properties.Count > 0 ? properties : null;
    }

    private static void SetOrRemove(AdditionalPropertiesDictionary properties, string key, object? value)
    {
        if (value is not null)
            properties[key] = value;
        else
            properties.Remove(key);
    }

    private static string? Text(object? value) => value switch
    {
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString(),
        _ => null,
    };
}
