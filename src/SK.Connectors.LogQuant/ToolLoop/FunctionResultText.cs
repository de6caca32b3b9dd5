using System.Text.Json;
using Microsoft.SemanticKernel;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>A kernel function's result as the text that the model reads.</summary>
internal static class FunctionResultText
{
    public static string Of(object? result) => result switch
    {
        FunctionResult inner => Of(inner.GetValue<object>()),
        ChatMessageContent message => message.ToString(),
        IEnumerable<ChatMessageContent> messages => string.Join('\n', messages.Select(m => m.ToString())),
        TextContent text => text.Text ?? "",
        KernelContent other => throw new NotSupportedException(
            $"A function returned a {other.GetType().Name}; a text model can read text and JSON only."),
        _ => ResultText.Of(result),
    };
}
