using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace Agents.Hosting;

/// <summary>
/// Reads and checks the body of a chat request: <c>{"messages": [{"role": "user", "content": "..."}, ...]}</c>. An assistant's message may have
/// <c>"rounds"</c>, the tool calls that came before its text: <c>[[{"id", "name", "arguments", "result"}, ...], ...]</c>.
/// </summary>
internal static class ChatRequestReader
{
    /// <summary>The most bytes of a body.</summary>
    public const int MaxBytes = 1024 * 1024;

    /// <summary>The most messages of a conversation.</summary>
    public const int MaxMessages = 10_000;

    /// <summary>Reads a request.</summary>
    /// <exception cref="ChatRequestException">It is wrong.</exception>
    public static async Task<ChatRequest> ReadAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        if (!request.HasJsonContentType())
            throw new ChatRequestException(StatusCodes.Status415UnsupportedMediaType,
                $"The content type is '{request.ContentType}'; send application/json.");
        try
        {
            using JsonDocument body = await JsonDocument.ParseAsync(request.Body, cancellationToken: cancellationToken);
            return Read(body.RootElement);
        }
        catch (JsonException e)
        {
            throw Wrong($"The body is no JSON: {e.Message}");
        }
        catch (BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            throw new ChatRequestException(e.StatusCode, $"The body has more than {MaxBytes:N0} bytes, the limit; begin a new conversation.");
        }
    }

    private static ChatRequest Read(JsonElement body)
    {
        JsonElement messages = Member(body, "messages", JsonValueKind.Array, "the body");
        int count = messages.GetArrayLength();
        if (count == 0)
            throw Wrong("messages is empty; send at least the user's message.");
        if (count > MaxMessages)
            throw new ChatRequestException(StatusCodes.Status413PayloadTooLarge,
                $"There are {count:N0} messages, but {MaxMessages:N0} is the limit; begin a new conversation.");

        var history = new ChatHistory();
        string last = "";
        for (int i = 0; i < count; i++)
        {
            string place = $"messages[{i}]";
            JsonElement message = messages[i];
            string role = Text(message, "role", place), content = Text(message, "content", place);
            bool isLast = i == count - 1;
            if (isLast && role != "user")
                throw Wrong($"{place}.role is '{role}', but the last message must be the user's.");
            switch (role)
            {
                case "user" when content.Length == 0:
                    throw Wrong($"{place}.content is empty; write something.");
                case "user" when isLast:
                    last = content;
                    break;
                case "user":
                    history.AddUserMessage(content);
                    break;
                case "assistant":
                    AddRounds(history, message, place);
                    history.AddAssistantMessage(content);
                    break;
                default:
                    throw Wrong($"{place}.role is '{role}'; use user or assistant.");
            }
        }

        return new(history, last);
    }

    private static void AddRounds(ChatHistory history, JsonElement message, string place)
    {
        if (!message.TryGetProperty("rounds", out _))
            return;
        JsonElement rounds = Member(message, "rounds", JsonValueKind.Array, place);
        for (int r = 0; r < rounds.GetArrayLength(); r++)
        {
            string roundPlace = $"{place}.rounds[{r}]";
            if (rounds[r].ValueKind != JsonValueKind.Array || rounds[r].GetArrayLength() == 0)
                throw Wrong($"{roundPlace} is no array of calls.");
            var calls = new ChatMessageContent(AuthorRole.Assistant, (string?)null);
            var results = new List<ChatMessageContent>();
            for (int c = 0; c < rounds[r].GetArrayLength(); c++)
            {
                string callPlace = $"{roundPlace}[{c}]";
                JsonElement use = rounds[r][c];
                string id = Text(use, "id", callPlace), name = Text(use, "name", callPlace), result = Text(use, "result", callPlace);
                JsonElement arguments = Member(use, "arguments", JsonValueKind.Object, callPlace);
                int dash = name.IndexOf('-', StringComparison.Ordinal);
                (string? plugin, string function) = dash < 0 ? (null, name) : (name[..dash], name[(dash + 1)..]);
                var call = new FunctionCallContent(function, plugin, id, Arguments(arguments));
                calls.Items.Add(call);
                results.Add(new FunctionResultContent(call, result).ToChatMessage());
            }

            history.Add(calls);
            history.AddRange(results);
        }
    }

    private static KernelArguments Arguments(JsonElement arguments)
    {
        var values = new KernelArguments();
        foreach (JsonProperty argument in arguments.EnumerateObject())
            values[argument.Name] = argument.Value.Clone();
        return values;
    }

    private static string Text(JsonElement parent, string name, string place) => Member(parent, name, JsonValueKind.String, place).GetString()!;

    private static JsonElement Member(JsonElement parent, string name, JsonValueKind kind, string place)
    {
        if (parent.ValueKind != JsonValueKind.Object)
            throw Wrong($"{place} is {Name(parent.ValueKind)}; it must be an object.");
        if (!parent.TryGetProperty(name, out JsonElement value))
            throw Wrong($"{place} has no '{name}'.");
        return value.ValueKind == kind ? value : throw Wrong($"{place}: '{name}' is {Name(value.ValueKind)}; it must be {Name(kind)}.");
    }

    private static string Name(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Array => "an array",
        JsonValueKind.Object => "an object",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Null => "null",
        _ => "a boolean",
    };

    private static ChatRequestException Wrong(string message) => new(StatusCodes.Status400BadRequest, message);
}
