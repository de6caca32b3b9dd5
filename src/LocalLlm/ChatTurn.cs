using System.Text.Json;

namespace LocalLlm;

/// <summary>Who speaks in a <see cref="ChatTurn"/>.</summary>
public enum ChatRole
{
    /// <summary>Instructions that hold for the whole conversation.</summary>
    System,

    /// <summary>The person, or the program that speaks for one.</summary>
    User,

    /// <summary>The model.</summary>
    Assistant,

    /// <summary>The result of a tool call.</summary>
    Tool,
}

/// <summary>One message of a conversation, as the chat template sees it.</summary>
/// <param name="Role">Who speaks.</param>
/// <param name="Content">The message's text; empty for an assistant turn that only calls tools.</param>
public sealed record ChatTurn(ChatRole Role, string Content)
{
    /// <summary>The assistant's reasoning before its answer, if it was kept; templates may drop it.</summary>
    public string? Reasoning { get; init; }

    /// <summary>The tools that an assistant turn calls, in order.</summary>
    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>For a tool turn: the <see cref="ToolCall.Id"/> that this turn answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>For a tool turn: the name of the tool that ran. For another: the speaker's name, if it has one.</summary>
    public string? Name { get; init; }
}

/// <summary>A tool that the model may call.</summary>
/// <param name="Name">Its name, unique in a request.</param>
/// <param name="Description">What it does, for the model; may be empty.</param>
/// <param name="Parameters">A JSON schema of type object.</param>
public sealed record ToolDefinition(string Name, string Description, JsonElement Parameters);

/// <summary>A tool call made by the model.</summary>
/// <param name="Id">Identifies the call in the conversation.</param>
/// <param name="Name">The tool's name.</param>
/// <param name="ArgumentsJson">A JSON object; the text that the model wrote if it is not valid JSON.</param>
public sealed record ToolCall(string Id, string Name, string ArgumentsJson);
