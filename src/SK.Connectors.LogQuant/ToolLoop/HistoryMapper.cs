using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Mapping;
using AI = Microsoft.Extensions.AI;
using ChatRole = Microsoft.Extensions.AI.ChatRole;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;
using FunctionResultContent = Microsoft.SemanticKernel.FunctionResultContent;
using TextContent = Microsoft.SemanticKernel.TextContent;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>
/// From a <see cref="ChatHistory"/> to messages for the client. Unlike Semantic Kernel's own bridge it keeps plugin names, reasoning and
/// what the model wrote as arguments, and refuses what a text model cannot read.
/// </summary>
internal static class HistoryMapper
{
    public static List<ChatMessage> Map(ChatHistory history) => [.. history.Select(Map)];

    private static ChatMessage Map(ChatMessageContent message)
    {
        var role = new ChatRole(message.Role.Label);
        // Beside a function's result Semantic Kernel keeps its text again; only the result is rendered.
        var skipText = role == ChatRole.Tool && message.Items.Any(i => i is FunctionResultContent);
        var contents = new List<AIContent>(message.Items.Count);
        foreach (var item in message.Items)
        {
            if (item is not TextContent || !skipText)
                contents.Add(Map(item, role));
        }
        return new ChatMessage(role, contents) { AuthorName = message.AuthorName };
    }

    private static AIContent Map(KernelContent item, ChatRole role) => item switch
    {
        TextContent text => new AI.TextContent(text.Text),
        ReasoningContent reasoning => new TextReasoningContent(reasoning.Text),
        FunctionCallContent call => new AI.FunctionCallContent(call.Id ?? "", FunctionNames.Join(call.PluginName, call.FunctionName), call.Arguments)
        {
            RawRepresentation = call.InnerContent as ToolCall,
        },
        FunctionResultContent result => new AI.FunctionResultContent(result.CallId ?? "", FunctionResultText.Of(result.Result)),
        _ => throw new NotSupportedException($"A message of the role {role} holds a {item.GetType().Name}{MimeType(item)}, which this text model "
            + "cannot read. It reads text, and in their own roles reasoning, function calls and function results."),
    };

    private static string MimeType(KernelContent item) => item.MimeType is { } type ? $" ({type})" : "";
}
