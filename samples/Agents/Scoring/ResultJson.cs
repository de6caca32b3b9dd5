using System.Text.Json;
using System.Text.Json.Nodes;
using Agents.Options;
using LocalLlm;

namespace Agents.Scoring;

/// <summary>The line of <c>--json</c>.</summary>
internal static class ResultJson
{
    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>One line; names in snake_case, bytes and tokens as whole numbers.</summary>
    public static string Write(SampleOptions options, LlmModelInfo model, Scoreboard board, ConversationEnd end, TimeSpan elapsed) =>
        Of(options, model, board, end, elapsed).ToJsonString();

    /// <summary>The figures of a scene that keeps no score: what runs, how it ended, and the scene's own.</summary>
    public static JsonObject Of(SampleOptions options, LlmModelInfo? model, ConversationEnd end, TimeSpan elapsed, JsonObject figures)
    {
        var result = new JsonObject
        {
            ["scene"] = options.SceneName,
            ["model"] = model?.ModelId,
            ["device"] = model?.Device,
            ["kv"] = options.KvName,
            ["seed"] = options.Seed,
            ["ended"] = Name(end),
        };
        foreach ((string name, JsonNode? value) in figures)
            result[name] = value?.DeepClone();
        result["elapsed_seconds"] = Math.Round(elapsed.TotalSeconds, 2);
        return result;
    }

    /// <summary>The figures of a conversation.</summary>
    public static JsonObject Of(SampleOptions options, LlmModelInfo model, Scoreboard board, ConversationEnd end, TimeSpan elapsed) =>
        (JsonObject)JsonSerializer.SerializeToNode(new Result(
            Scene: options.SceneName,
            Model: model.ModelId,
            Device: model.Device,
            Kv: options.KvName,
            Seed: options.Seed,
            Ended: Name(end),
            Turns: board.Turns,
            ToolCalls: board.Calls,
            ToolCallsExpected: board.CallsExpected,
            ToolCallsRight: board.CallsRight,
            ToolCallsWrong: board.CallsWrong,
            RecallAsked: board.RecallAsked,
            RecallRight: board.RecallRight,
            RecallByDistance: [.. board.Bands],
            RefusalsAsked: board.RefusalsAsked,
            RefusalsRight: board.RefusalsRight,
            ContextTokens: board.Usage.ContextTokens,
            ContextLimitTokens: model.ContextTokens,
            KvBytes: board.Usage.KvBytes,
            KvBytesFp16: board.Usage.KvBytesFp16,
            PromptTokens: board.Usage.PromptTokens,
            CachedPromptTokens: board.Usage.CachedPromptTokens,
            CompletionTokens: board.Usage.CompletionTokens,
            DecodeTokensPerSecond: Math.Round(board.Usage.DecodeTokensPerSecond, 2),
            TimeToFirstTokenMs: Math.Round(board.Usage.MedianFirstTokenMilliseconds, 1),
            ElapsedSeconds: Math.Round(elapsed.TotalSeconds, 2)), SnakeCase)!;

    private static string Name(ConversationEnd end) => end switch
    {
        ConversationEnd.Complete => "complete",
        ConversationEnd.ContextFull => "context_full",
        _ => "cancelled",
    };

    private sealed record Result(
        string Scene,
        string Model,
        string Device,
        string Kv,
        int Seed,
        string Ended,
        int Turns,
        int ToolCalls,
        int ToolCallsExpected,
        int ToolCallsRight,
        int ToolCallsWrong,
        int RecallAsked,
        int RecallRight,
        RecallBand[] RecallByDistance,
        int RefusalsAsked,
        int RefusalsRight,
        int ContextTokens,
        int ContextLimitTokens,
        long KvBytes,
        [property: System.Text.Json.Serialization.JsonPropertyName("kv_bytes_fp16")] long KvBytesFp16,
        long PromptTokens,
        long CachedPromptTokens,
        long CompletionTokens,
        double DecodeTokensPerSecond,
        double TimeToFirstTokenMs,
        double ElapsedSeconds);
}
