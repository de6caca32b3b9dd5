using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>What <see cref="ChatOptions.AdditionalProperties"/> may carry for this client.</summary>
internal sealed record AdditionalOptions
{
    public const string MinPKey = "min_p";
    public const string RepetitionPenaltyKey = "repetition_penalty";
    public const string TemplateVariablesKey = "template_variables";
    public const string LogprobsKey = "logprobs";
    public const string TopLogprobsKey = "top_logprobs";
    private const string LogitBiasKey = "logit_bias";
    private const string TokenSelectionBiasesKey = "token_selection_biases";

    /// <summary>Names already warned of, so that a long conversation does not repeat itself in the log.</summary>
    private static readonly ConcurrentDictionary<string, bool> Warned = new(StringComparer.Ordinal);

    public float? MinP { get; init; }

    public float? RepetitionPenalty { get; init; }

    public IReadOnlyDictionary<string, JsonElement> TemplateVariables { get; init; } = new Dictionary<string, JsonElement>();

    public OutputConstraint? Constraint { get; init; }

    private bool? Logprobs { get; init; }

    private int? TopAlternatives { get; init; }

    /// <summary>What the engine is to tell of the tokens' probabilities; null for nothing.</summary>
    /// <exception cref="ArgumentException">Alternatives are asked for, but no log probabilities.</exception>
    public int? TopLogprobs => (Logprobs, TopAlternatives) switch
    {
        (true, var top) => top ?? 0,
        (_, > 0 and var top) => throw new ArgumentException($"'{TopLogprobsKey}' is {top}, but '{LogprobsKey}' is {(Logprobs is null ? "not set" : "false")}; "
            + $"set '{LogprobsKey}' to true, or leave '{TopLogprobsKey}' out."),
        _ => null,
    };

    public static AdditionalOptions Read(AdditionalPropertiesDictionary? properties, ILogger logger)
    {
        var result = new AdditionalOptions();
        foreach (var (key, value) in properties ?? [])
        {
            switch (key)
            {
                case MinPKey:
                    result = result with { MinP = Number(key, value) };
                    break;
                case RepetitionPenaltyKey:
                    result = result with { RepetitionPenalty = Number(key, value) };
                    break;
                case TemplateVariablesKey:
                    result = result with { TemplateVariables = Variables(key, value) };
                    break;
                case OutputConstraints.JsonKey or OutputConstraints.RegexKey or OutputConstraints.ChoiceKey or OutputConstraints.GrammarKey:
                    if (OutputConstraints.Read(key, value) is { } constraint)
                        result = result with { Constraint = result.Constraint is null ? constraint : throw TwoConstraints() };
                    break;
                case LogprobsKey:
                    result = result with { Logprobs = Switch(key, value) };
                    break;
                case TopLogprobsKey:
                    result = result with { TopAlternatives = Count(key, value) };
                    break;
                case LogitBiasKey or TokenSelectionBiasesKey:
                    RefuseUnlessOff(key, value);
                    break;
                default:
                    // Middleware and settings meant for other providers put their own keys here, so an unknown one is no error.
                    if (value is not null && Warned.TryAdd(key, true))
                        Log.UnknownOption(logger, key, MinPKey, RepetitionPenaltyKey, TemplateVariablesKey,
                            OutputConstraints.JsonKey, OutputConstraints.RegexKey, OutputConstraints.ChoiceKey);
                    break;
            }
        }
        return result;
    }

    private static ArgumentException TwoConstraints() => new(
        $"More than one of the additional properties {OutputConstraints.JsonKey}, {OutputConstraints.RegexKey} and {OutputConstraints.ChoiceKey} "
        + "is set; give one.");

    private static bool? Switch(string key, object? value) => value switch
    {
        null or JsonElement { ValueKind: JsonValueKind.Null } => null,
        bool isOn => isOn,
        JsonElement { ValueKind: JsonValueKind.True } => true,
        JsonElement { ValueKind: JsonValueKind.False } => false,
        string or JsonElement { ValueKind: JsonValueKind.String } when bool.TryParse(value.ToString(), out var parsed) => parsed,
        _ => throw new ArgumentException($"The additional property '{key}' is '{value}' ({value.GetType().Name}); it must be true or false."),
    };

    private static int? Count(string key, object? value) => Number(key, value) switch
    {
        null => null,
        >= -1e6f and <= 1e6f and var number when float.IsInteger(number) => (int)number,
        _ => throw new ArgumentException($"The additional property '{key}' is '{value}'; it must be a whole number."),
    };

    private static float? Number(string key, object? value)
    {
        try
        {
            return value switch
            {
                null or JsonElement { ValueKind: JsonValueKind.Null } => null,
                JsonElement { ValueKind: JsonValueKind.String } text => float.Parse(text.GetString()!, CultureInfo.InvariantCulture),
                JsonElement { ValueKind: JsonValueKind.Number } number => number.GetSingle(),
                IConvertible convertible => Convert.ToSingle(convertible, CultureInfo.InvariantCulture),
                _ => throw NotANumber(key, value, null),
            };
        }
        catch (Exception e) when (e is FormatException or InvalidCastException or OverflowException)
        {
            throw NotANumber(key, value, e);
        }
    }

    private static ArgumentException NotANumber(string key, object? value, Exception? cause) =>
        new($"The additional property '{key}' is '{value}' ({value?.GetType().Name}); it must be a number.", cause);

    private static Dictionary<string, JsonElement> Variables(string key, object? value)
    {
        var json = value switch
        {
            null => default,
            JsonElement element => element,
            _ => JsonSerializer.SerializeToElement(value, AIJsonUtilities.DefaultOptions),
        };
        return json.ValueKind switch
        {
            JsonValueKind.Undefined or JsonValueKind.Null => [],
            JsonValueKind.Object => json.EnumerateObject().ToDictionary(p => p.Name, p => p.Value),
            _ => throw new ArgumentException($"The additional property '{key}' is a JSON {json.ValueKind}; it must be an object or a dictionary: "
                + "the names and values of variables for the chat template."),
        };
    }

    private static void RefuseUnlessOff(string key, object? value)
    {
        var isOff = value switch
        {
            null or false or JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.False } => true,
            JsonElement { ValueKind: JsonValueKind.Number } number => number.GetDouble() == 0,
            JsonElement { ValueKind: JsonValueKind.Object } biases => !biases.EnumerateObject().Any(),
            System.Collections.ICollection biases => biases.Count == 0,
            IConvertible and not string => Convert.ToDouble(value, CultureInfo.InvariantCulture) == 0,
            _ => false,
        };
        if (!isOff)
            throw new NotSupportedException($"The option '{key}' is '{value}', but this engine does not offer it; leave it out.");
    }
}
