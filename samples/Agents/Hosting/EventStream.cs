using System.Text.Json;
using System.Threading.Channels;
using Agents.Conversation;

namespace Agents.Hosting;

/// <summary>A server-sent event.</summary>
/// <param name="Name">"reasoning", "text", "tool", "usage", "error" or "done".</param>
/// <param name="Data">Its data, on one line.</param>
internal sealed record ServerEvent(string Name, string Data);

/// <summary>Turns what happens in a turn into server-sent events.</summary>
internal sealed class EventStream : ITurnListener
{
    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    // Unbounded, since it holds no more than one answer; whoever does not read it is disconnected, which cancels the turn.
    private readonly Channel<ServerEvent> _events = Channel.CreateUnbounded<ServerEvent>(new() { SingleReader = true });
    private int _round;

    public ChannelReader<ServerEvent> Events => _events.Reader;

    public void OnReasoning(string delta) => Send("reasoning", new { Delta = delta });

    public void OnText(string delta) => Send("text", new { Delta = delta });

    public void OnToolUse(ToolUse use) => Send("tool", new
    {
        Round = _round,
        use.Id,
        use.Name,
        Arguments = use.Arguments.ToDictionary(a => a.Key, a => a.Value),
        use.Result,
    });

    public void OnRound(RoundUsage usage)
    {
        _round++;
        Send("usage", new
        {
            usage.FinishReason,
            usage.PromptTokens,
            usage.CachedPromptTokens,
            usage.CompletionTokens,
            usage.KvBytes,
            KvBytesUncompressed = usage.KvBytesFp16,
            TimeToFirstTokenMs = Math.Round(usage.TimeToFirstToken.TotalMilliseconds, 1),
        });
    }

    public void OnDone(AgentTurn turn) => Send("done", new { turn.Answer, turn.IsCut, turn.IsStopped });

    /// <summary>No more events.</summary>
    /// <param name="error">Why nothing came, where it ended in an error before the first event; null otherwise.</param>
    public void Complete(Exception? error = null) => _events.Writer.TryComplete(error);

    /// <summary>The last event of an answer that failed midway.</summary>
    public static ServerEvent Error(string message) => Event("error", new { Message = message });

    private void Send(string name, object data) => _events.Writer.TryWrite(Event(name, data));

    private static ServerEvent Event(string name, object data) => new(name, JsonSerializer.Serialize(data, SnakeCase));
}
