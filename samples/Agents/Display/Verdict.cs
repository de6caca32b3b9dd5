using Agents.Conversation;
using Agents.Scoring;

namespace Agents.Display;

/// <summary>One remark about a turn.</summary>
/// <param name="IsRight">True for praise, false for blame, null for neither.</param>
/// <param name="Text">The remark.</param>
internal sealed record Verdict(bool? IsRight, string Text)
{
    /// <summary>All that there is to say about a turn.</summary>
    public static IEnumerable<Verdict> Of(AgentTurn turn, TurnScore score)
    {
        foreach (RecallScore recall in score.Recalls)
        {
            string expected = recall.Fact.KeepsEarlier ? recall.Fact.Values : recall.Fact.Value;
            yield return new(recall.IsRight, (recall.IsRight ? "recalled" : $"expected {expected}, told")
                + $" from {Figures.Count(recall.DistanceTokens)} tokens back ({recall.DistanceTurns} turn{(recall.DistanceTurns == 1 ? "" : "s")})");
        }

        if (score.IsRefusalRight is { } refused)
            yield return new(refused, refused ? "never told, and it says so" : "this was never told");
        if (score.CallsExpected > 0 || score.CallsWrong > 0)
        {
            bool right = score.CallsRight == score.CallsExpected && score.CallsWrong == 0;
            yield return new(right, right ? score.CallsRight == 1 ? "the expected call" : $"the {score.CallsRight} expected calls"
                : score.MissedCall is { } missed ? $"expected {missed}"
                : "no such call was expected");
        }

        if (turn.IsStopped)
            yield return new(false, $"stopped after {ToolRecorder.MaxRounds} rounds of tool calls without an answer");
        if (turn.IsCut)
            yield return new(null, "the answer was cut off at the token limit");
    }
}
