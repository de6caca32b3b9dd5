using System.Globalization;

namespace Agents.Conversation;

/// <summary>A tool call that the model made, and what it got back.</summary>
/// <param name="Id">Identifies the call in the conversation.</param>
/// <param name="Name">Plugin and function: "Stock-check".</param>
/// <param name="Arguments">Names and values, values as text.</param>
/// <param name="Result">What the model gets to read.</param>
internal sealed record ToolUse(string? Id, string Name, IReadOnlyList<KeyValuePair<string, string>> Arguments, string Result)
{
    /// <summary>The call as one would write it in code.</summary>
    public string Call => $"{Name}({string.Join(", ", Arguments.Select(a => $"{a.Key}: {a.Value}"))})";

    /// <summary>Puts a call together from what Semantic Kernel knows of it.</summary>
    public static ToolUse Create(
        string? id, string? pluginName, string functionName, IEnumerable<KeyValuePair<string, object?>>? arguments, object? result) => new(
            id,
            pluginName is { Length: > 0 } ? $"{pluginName}-{functionName}" : functionName,
            [.. (arguments ?? []).Select(a => KeyValuePair.Create(a.Key, Text(a.Value)))],
            Text(result));

    private static string Text(object? value) => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
}
