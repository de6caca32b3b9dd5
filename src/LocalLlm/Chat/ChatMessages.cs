using System.Text;
using System.Text.Json;
using LocalLlm.Chat.Jinja;

namespace LocalLlm.Chat;

/// <summary>Chat turns and tools as the values that Hugging Face's chat templates expect.</summary>
internal static class ChatMessages
{
    /// <summary>The turns as message dicts. Names of roles count as template text, since templates build control tokens of them.</summary>
    public static JinjaList FromTurns(IReadOnlyList<ChatTurn> turns, MessageShape shape) =>
        new([.. turns.Select(turn => FromTurn(turn, shape))]);

    /// <summary>The tools as function dicts; null if there are none.</summary>
    public static JinjaList? FromTools(IReadOnlyList<ToolDefinition> tools)
    {
        if (tools.Count == 0)
            return null;
        return new([.. tools.Select(tool =>
        {
            var function = new JinjaDict();
            function.Set("name", JinjaText.Input(tool.Name));
            function.Set("description", JinjaText.Input(tool.Description));
            function.Set("parameters", PythonJson.FromJson(tool.Parameters));
            var dict = new JinjaDict();
            dict.Set("type", JinjaText.Template("function"));
            dict.Set("function", function);
            return dict;
        })])
        { PrintsAsJson = true };
    }

    /// <summary>Gives the first message the tools as JSON text, making a system message if there is none.</summary>
    public static void AddToolsToSystemMessage(JinjaList messages, JinjaList tools)
    {
        var role = JinjaText.Template("role");
        if (messages.Items is not [JinjaDict first, ..] || !first.TryGet(role, out var name) || name is not JinjaText { Value: "system" })
        {
            first = new JinjaDict();
            first.Set("role", JinjaText.Template("system"));
            first.Set("content", JinjaText.Empty);
            messages.Items.Insert(0, first);
        }
        // The model was trained on the bare functions.
        var functions = tools.Items.Select(tool => ((JinjaDict)tool!).TryGet(JinjaText.Template("function"), out var function) ? function : tool);
        first.Set("tools", PythonJson.Dump(NewContext(), new JinjaList([.. functions]), PythonJson.OneLine));
    }

    private static JinjaDict FromTurn(ChatTurn turn, MessageShape shape)
    {
        var message = new JinjaDict();
        message.Set("role", JinjaText.Template(turn.Role switch
        {
            ChatRole.System => "system",
            ChatRole.User => "user",
            ChatRole.Assistant => "assistant",
            ChatRole.Tool => "tool",
            _ => throw new ArgumentOutOfRangeException(nameof(turn), turn.Role, "An unknown role."),
        }));
        message.Set("content", Content(turn, shape));
        if (turn.Reasoning is not null)
            message.Set("reasoning_content", JinjaText.Input(turn.Reasoning));
        if (turn.ToolCalls.Count > 0 && shape.CallsInContent == ToolCallFormat.None)
            message.Set("tool_calls", new JinjaList([.. turn.ToolCalls.Select(call => FromCall(call, shape))]));
        if (turn.ToolCallId is not null)
            message.Set("tool_call_id", JinjaText.Input(turn.ToolCallId));
        if (turn.Name is not null)
            message.Set("name", JinjaText.Input(turn.Name));
        return message;
    }

    private static object? Content(ChatTurn turn, MessageShape shape)
    {
        if (turn.Content.Length == 0 && turn.ToolCalls.Count > 0 && shape.CallsWithoutContent)
            return null;
        var text = turn.ToolCalls.Count > 0 && shape.CallsInContent != ToolCallFormat.None
            ? WithCalls(turn, shape.CallsInContent)
            : JinjaText.Input(turn.Content);
        if (!shape.ContentAsParts)
            return text;
        var part = new JinjaDict();
        part.Set("type", JinjaText.Template("text"));
        part.Set("text", text);
        return new JinjaList([part]);
    }

    /// <summary>The content with the calls after it, as the model writes them: the markers are template text, the rest is input.</summary>
    private static JinjaText WithCalls(ChatTurn turn, ToolCallFormat format)
    {
        var builder = new JinjaTextBuilder(NewContext()).Append(JinjaText.Input(turn.Content));
        if (turn.Content.Length > 0)
            builder.Append("\n");
        foreach (var (text, isMarker) in ToolCallFormats.Write(format, turn.ToolCalls))
            builder.Append(text, isMarker);
        return builder.ToText();
    }

    private static RenderContext NewContext() => new(JinjaLimits.Default, TimeProvider.System, new Dictionary<string, object?>());

    private static JinjaDict FromCall(ToolCall call, MessageShape shape)
    {
        var function = new JinjaDict();
        function.Set("name", JinjaText.Input(call.Name));
        function.Set("arguments", shape.ArgumentsAsText ? JinjaText.Input(call.ArgumentsJson) : Arguments(call.ArgumentsJson));
        var dict = new JinjaDict();
        dict.Set("type", JinjaText.Template("function"));
        dict.Set("id", JinjaText.Input(call.Id));
        dict.Set("function", function);
        return dict;
    }

    private static object? Arguments(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return PythonJson.FromJson(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or ArgumentException { InnerException: EncoderFallbackException })
        {
            return JinjaText.Input(json); // what the model wrote, shown to it as it is
        }
    }
}
