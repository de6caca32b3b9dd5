using LocalLlm;
using Microsoft.Extensions.AI;
using ChatRole = LocalLlm.ChatRole;
using MessageRole = Microsoft.Extensions.AI.ChatRole;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>From <see cref="ChatMessage"/>s to the turns that the chat template renders.</summary>
internal static class TurnMapper
{
    private static readonly MessageRole Developer = new("developer");

    public static IReadOnlyList<ChatTurn> Map(IEnumerable<ChatMessage> messages, string? instructions)
    {
        var turns = new List<ChatTurn>();
        var callNames = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var message in messages)
        {
            if (message.Role == MessageRole.Tool)
                AddToolTurns(turns, message, callNames);
            else if (message.Role == MessageRole.Assistant)
                AddAssistantTurn(turns, AssistantTurn(message, callNames));
            else if (message.Role == MessageRole.User)
                turns.Add(new ChatTurn(ChatRole.User, Text(message)) { Name = message.AuthorName });
            else if (message.Role == MessageRole.System || message.Role == Developer)
                turns.Add(new ChatTurn(ChatRole.System, Text(message)) { Name = message.AuthorName });
            else
                throw new NotSupportedException($"A message has the role '{message.Role}'; use system, developer, user, assistant or tool.");
        }
        AddInstructions(turns, instructions);
        return turns;
    }

    /// <summary>Many templates read the first system turn only, so instructions and a leading system message become one turn.</summary>
    private static void AddInstructions(List<ChatTurn> turns, string? instructions)
    {
        if (string.IsNullOrWhiteSpace(instructions))
            return;
        if (turns is [{ Role: ChatRole.System } first, ..])
            turns[0] = first with { Content = $"{instructions}\n\n{first.Content}" };
        else
            turns.Insert(0, new ChatTurn(ChatRole.System, instructions));
    }

    private static string Text(ChatMessage message)
    {
        var text = "";
        foreach (var content in message.Contents)
        {
            text += content switch
            {
                TextContent part => part.Text,
                UsageContent => "",
                _ => throw Unsupported(content, message),
            };
        }
        return text;
    }

    /// <summary>
    /// Semantic Kernel may keep one answer's calls in a message each (its adapter of chat clients, when streaming) or behind an empty one (its
    /// agents, when streaming calls that the caller makes). The model wrote them as one turn, and reads and caches them as one.
    /// </summary>
    private static void AddAssistantTurn(List<ChatTurn> turns, ChatTurn turn)
    {
        if (turns is [.., { Role: ChatRole.Assistant } before]
            && turn.ToolCalls.Count > 0
            && (before.ToolCalls.Count > 0 || before.Content.Length == 0)
            && (before.Name is null || turn.Name is null || before.Name == turn.Name))
        {
            turns[^1] = turn with
            {
                Content = before.Content + turn.Content,
                Reasoning = before.Reasoning + turn.Reasoning is { Length: > 0 } reasoning ? reasoning : null,
                ToolCalls = [.. before.ToolCalls, .. turn.ToolCalls],
                Name = before.Name ?? turn.Name,
            };
            return;
        }
        turns.Add(turn);
    }

    private static ChatTurn AssistantTurn(ChatMessage message, Dictionary<string, string> callNames)
    {
        var (text, reasoning) = ("", "");
        var calls = new List<ToolCall>();
        foreach (var content in message.Contents)
        {
            switch (content)
            {
                case TextContent part:
                    text += part.Text;
                    break;
                case TextReasoningContent part:
                    reasoning += part.Text;
                    break;
                case FunctionCallContent call:
                    calls.Add(new ToolCall(call.CallId, call.Name, CallArguments.ToJson(call.Arguments, call.RawRepresentation)));
                    callNames[call.CallId] = call.Name;
                    break;
                case UsageContent:
                    break;
                default:
                    throw Unsupported(content, message);
            }
        }
        return new ChatTurn(ChatRole.Assistant, text)
        {
            Reasoning = reasoning.Length > 0 ? reasoning : null,
            ToolCalls = calls,
            Name = message.AuthorName,
        };
    }

    /// <summary>One turn for each result. Text beside a result is a copy of it, which Semantic Kernel adds; it is not rendered again.</summary>
    private static void AddToolTurns(List<ChatTurn> turns, ChatMessage message, Dictionary<string, string> callNames)
    {
        var found = false;
        foreach (var content in message.Contents)
        {
            switch (content)
            {
                case FunctionResultContent result:
                    found = true;
                    turns.Add(new ChatTurn(ChatRole.Tool, ResultText.Of(result))
                    {
                        ToolCallId = result.CallId,
                        Name = callNames.GetValueOrDefault(result.CallId),
                    });
                    break;
                case TextContent or UsageContent:
                    break;
                default:
                    throw Unsupported(content, message);
            }
        }
        if (!found)
            throw new ArgumentException($"A message of the role tool holds no {nameof(FunctionResultContent)}, so the call that it answers is "
                + "unknown. Add one with the call's id.", nameof(message));
    }

    private static NotSupportedException Unsupported(AIContent content, ChatMessage message) => new(
        $"A message of the role {message.Role} holds a {content.GetType().Name}{MediaType(content)}, which this text model cannot read. "
        + "It reads text, and in their own roles reasoning, function calls and function results.");

    private static string MediaType(AIContent content) => content switch
    {
        DataContent data => $" ({data.MediaType})",
        UriContent uri => $" ({uri.MediaType})",
        _ => "",
    };
}
