using Agents.Conversation;

namespace Agents.Display;

/// <summary>What a round used, in one line.</summary>
internal static class UsageLine
{
    public static string Memory(RoundUsage round, int contextTokens) =>
        $"context {Figures.Of(round.ContextTokens, contextTokens)} tokens, KV {Figures.Bytes(round.KvBytes)} (fp16 {Figures.Bytes(round.KvBytesFp16)})";

    /// <summary>Of a turn: the cache and the first token count for its first round, which is what the user waits for.</summary>
    public static string Speed(AgentTurn turn)
    {
        RoundUsage first = turn.Rounds[0];
        double seconds = turn.Rounds.Sum(r => r.DecodeTime.TotalSeconds);
        double rate = seconds > 0 ? turn.Rounds.Where(r => r.DecodeTime > TimeSpan.Zero).Sum(r => r.CompletionTokens - 1) / seconds : 0;
        return $"{Figures.Of(first.CachedPromptTokens, first.PromptTokens)} prompt tokens cached, "
            + $"first token {Figures.Milliseconds(first.TimeToFirstToken.TotalMilliseconds)}, {Figures.Rate(rate)} tokens/s";
    }
}
