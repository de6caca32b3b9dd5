using System.Text.Json;
using Agents.Conversation;
using DemoModel.Dialogues;

namespace Agents.Scoring;

/// <summary>Recall of the facts told within a range of distances.</summary>
/// <param name="FromTokens">The least distance.</param>
/// <param name="BelowTokens">The distance below which it ends; null for the last.</param>
/// <param name="Asked">Facts asked for.</param>
/// <param name="Right">Facts recalled.</param>
internal sealed record RecallBand(int FromTokens, int? BelowTokens, int Asked, int Right);

/// <summary>Judges a scripted conversation, turn by turn, and adds up.</summary>
internal sealed class Scoreboard
{
    private static readonly int[] BandStarts = [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000];

    private readonly Dictionary<string, (int Tokens, int Turn)> _toldAt = new(StringComparer.Ordinal);
    private readonly List<RecallScore> _recalls = [];

    /// <summary>What was used.</summary>
    public UsageTotals Usage { get; } = new();

    /// <summary>Turns that have ended.</summary>
    public int Turns { get; private set; }

    /// <summary>Tool calls made.</summary>
    public int Calls { get; private set; }

    public int CallsExpected { get; private set; }

    public int CallsRight { get; private set; }

    public int CallsWrong { get; private set; }

    public int RecallAsked => _recalls.Count;

    public int RecallRight => _recalls.Count(r => r.IsRight);

    /// <summary>Questions about what was never told.</summary>
    public int RefusalsAsked { get; private set; }

    public int RefusalsRight { get; private set; }

    /// <summary>Recall by distance; only ranges in which something was asked.</summary>
    public IReadOnlyList<RecallBand> Bands =>
    [
        .. BandStarts.Select((from, i) =>
        {
            int? below = i + 1 < BandStarts.Length ? BandStarts[i + 1] : null;
            RecallScore[] within = [.. _recalls.Where(r => r.DistanceTokens >= from && !(r.DistanceTokens >= below))];
            return new RecallBand(from, below, within.Length, within.Count(r => r.IsRight));
        }).Where(b => b.Asked > 0),
    ];

    /// <summary>Judges a turn against its script; without a script only counts it.</summary>
    public TurnScore Add(ScriptedTurn? script, AgentTurn turn)
    {
        Turns++;
        Calls += turn.Uses.Count;
        if (script is null)
            return new();

        List<ToolUse> others = [.. turn.Uses];
        ScriptedCall[] missed = [.. script.Calls.Where(c => !others.Remove(others.Find(use => IsSame(use, c))!))];
        bool? refusal = script.ExpectedRefusal is { } words ? turn.Answer.Contains(words, StringComparison.OrdinalIgnoreCase) : null;
        var score = new TurnScore
        {
            Recalls = script.Kind == TurnKind.Recall ? [.. script.Facts.Select(f => Recall(f, turn))] : [],
            CallsExpected = script.Calls.Count,
            CallsRight = script.Calls.Count - missed.Length,
            CallsWrong = others.Count,
            MissedCall = missed is [var first, ..] ? $"{first.Name} {first.ArgumentsJson}" : null,
            IsRefusalRight = refusal,
        };

        if (script.Kind == TurnKind.Tell)
        {
            foreach (Fact fact in script.Facts)
                _toldAt[fact.Key] = (turn.Position, Turns);
        }

        _recalls.AddRange(score.Recalls);
        CallsExpected += score.CallsExpected;
        CallsRight += score.CallsRight;
        CallsWrong += score.CallsWrong;
        RefusalsAsked += refusal is null ? 0 : 1;
        RefusalsRight += refusal is true ? 1 : 0;
        return score;
    }

    private RecallScore Recall(Fact fact, AgentTurn turn)
    {
        (int tokens, int number) = _toldAt[fact.Key];
        return new(fact, turn.Position - tokens, Turns - number, fact.IsIn(turn.Answer));
    }

    /// <summary>The same tool with the same arguments. Values are compared as text: the kernel hands them to functions as text.</summary>
    private static bool IsSame(ToolUse use, ScriptedCall call)
    {
        using JsonDocument expected = JsonDocument.Parse(call.ArgumentsJson);
        JsonElement arguments = expected.RootElement;
        return use.Name == call.Name
            && use.Arguments.Count == arguments.EnumerateObject().Count()
            && use.Arguments.All(a => arguments.TryGetProperty(a.Key, out JsonElement value) && value.ToString() == a.Value);
    }
}
