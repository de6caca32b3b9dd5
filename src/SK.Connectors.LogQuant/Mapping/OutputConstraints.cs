using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>What the options say the answer must be: the response format, or one of the keys that vLLM's clients use.</summary>
internal static class OutputConstraints
{
    public const string JsonKey = "guided_json";
    public const string RegexKey = "guided_regex";
    public const string ChoiceKey = "guided_choice";
    public const string GrammarKey = "guided_grammar";

    /// <summary>The constraint that a key and its value stand for; null if the value is.</summary>
    public static OutputConstraint? Read(string key, object? value)
    {
        if (value is null or JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined })
            return null;
        var json = value as JsonElement? ?? JsonSerializer.SerializeToElement(value, ConnectorJson.Options);
        return (key, json.ValueKind) switch
        {
            (JsonKey, JsonValueKind.Object or JsonValueKind.True or JsonValueKind.False) => OutputConstraint.JsonSchema(json),
            (JsonKey, JsonValueKind.String) => OutputConstraint.JsonSchema(ParseSchema(json.GetString()!)),
            (RegexKey, JsonValueKind.String) => OutputConstraint.Regex(json.GetString()!),
            (ChoiceKey, JsonValueKind.Array) when json.EnumerateArray().All(c => c.ValueKind == JsonValueKind.String) =>
                OutputConstraint.Choice([.. json.EnumerateArray().Select(c => c.GetString()!)]),
            (GrammarKey, _) => throw new NotSupportedException($"The option '{GrammarKey}' is set, but this engine takes no grammar as text; "
                + $"use {JsonKey}, {RegexKey}, {ChoiceKey} or a response format."),
            _ => throw new ArgumentException($"The additional property '{key}' is a JSON {json.ValueKind}; it must be "
                + (key == ChoiceKey ? "a list of texts." : key == RegexKey ? "a text, the regular expression." : "a JSON schema.")),
        };
    }

    /// <summary>The one constraint of a request.</summary>
    public static OutputConstraint? Of(ChatResponseFormat? format, OutputConstraint? guided, OutputConstraint? raw)
    {
        var fromFormat = format switch
        {
            ChatResponseFormatJson { Schema: { } schema } => OutputConstraint.JsonSchema(schema),
            ChatResponseFormatJson => OutputConstraint.JsonObject,
            _ => null,
        };
        if (fromFormat is not null && guided is not null)
            throw new ArgumentException($"Both {nameof(ChatOptions)}.{nameof(ChatOptions.ResponseFormat)} and one of {JsonKey}, {RegexKey} and {ChoiceKey} "
                + "say what the answer must be; give one.");
        // Text, where it is said, takes a raw request's constraint back.
        return format is ChatResponseFormatText ? guided : fromFormat ?? guided ?? raw;
    }

    private static JsonElement ParseSchema(string json)
    {
        try
        {
            return JsonElement.Parse(json);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"The additional property '{JsonKey}' is a text, but no JSON: {e.Message}", e);
        }
    }
}
