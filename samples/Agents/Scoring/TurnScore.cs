using DemoModel.Dialogues;

namespace Agents.Scoring;

/// <summary>One fact asked for.</summary>
/// <param name="Fact">The fact.</param>
/// <param name="DistanceTokens">Tokens between the message that told it, or changed it last, and the question.</param>
/// <param name="DistanceTurns">Turns between them.</param>
/// <param name="IsRight">The answer gives it: <see cref="Fact.IsIn"/>.</param>
internal sealed record RecallScore(Fact Fact, int DistanceTokens, int DistanceTurns, bool IsRight);

/// <summary>How well one scripted turn went.</summary>
internal sealed record TurnScore
{
    /// <summary>The facts asked for.</summary>
    public IReadOnlyList<RecallScore> Recalls { get; init; } = [];

    /// <summary>Tool calls that the script expects.</summary>
    public int CallsExpected { get; init; }

    /// <summary>Expected calls that were made, with the right arguments.</summary>
    public int CallsRight { get; init; }

    /// <summary>Calls that were made beside these.</summary>
    public int CallsWrong { get; init; }

    /// <summary>A call that was expected and not made.</summary>
    public string? MissedCall { get; init; }

    /// <summary>For a question about what was never told: whether the agent said so.</summary>
    public bool? IsRefusalRight { get; init; }
}
