using System.Globalization;
using System.Text.Json;
using DemoModel.Dialogues;

namespace DemoModel.Scoring;

/// <summary>Right of asked.</summary>
internal readonly record struct Tally(int Right, int Asked)
{
    public double Share => Asked == 0 ? 0 : (double)Right / Asked;

    public Tally With(bool right) => new(Right + (right ? 1 : 0), Asked + 1);

    public override string ToString() => Asked == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{Share:P1} of {Asked}");
}

/// <summary>How many of the model's turns are right, by what they are.</summary>
internal sealed record Score(IReadOnlyList<(string What, Tally Tally)> Rows)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>The score on one line.</summary>
    public string Line => string.Join("  ", Rows.Where(r => r.Tally.Asked > 0).Select(r => $"{r.What} {r.Tally}"));

    /// <summary>The score as a Markdown table.</summary>
    public string Table => string.Join('\n', Rows.Where(r => r.Tally.Asked > 0)
        .Select(r => $"| {r.What} | {r.Tally.Right} | {r.Tally.Asked} | {r.Tally.Share.ToString("P1", CultureInfo.InvariantCulture)} |")
        .Prepend("|---|---:|---:|---:|").Prepend("| what | right | asked | share |"));

    /// <summary>The score as a JSON object.</summary>
    public string Json => JsonSerializer.Serialize(Rows.ToDictionary(r => r.What, r => new { r.Tally.Right, r.Tally.Asked }), Indented) + "\n";
}

/// <summary>Counts up to a <see cref="Score"/>.</summary>
internal sealed class ScoreCounts
{
    /// <summary>Upper ends of the distance classes, in tokens; the last has none.</summary>
    private static readonly int[] Distances = [250, 500, 1000, 2000, 3000, 4000, 6000, int.MaxValue];

    private readonly Tally[] recallByDistance = new Tally[Distances.Length];
    private readonly Dictionary<RecallKind, Tally> recallByKind = Enum.GetValues<RecallKind>().ToDictionary(k => k, _ => new Tally());
    private Tally calls, laterCalls, answers, refusals, noTool, smallTalk;

    /// <summary>Counts what the model wrote in one place of a turn.</summary>
    public void Add(ScriptedTurn turn, bool isCall, int distanceTokens, bool right)
    {
        switch (turn.Kind)
        {
            case TurnKind.Recall:
                int distance = Array.FindIndex(Distances, d => distanceTokens <= d);
                recallByDistance[distance] = recallByDistance[distance].With(right);
                recallByKind[turn.Recall] = recallByKind[turn.Recall].With(right);
                break;
            case TurnKind.Tool when isCall && turn.Rounds.Count > 1:
                laterCalls = laterCalls.With(right);
                break;
            case TurnKind.Tool when isCall:
                calls = calls.With(right);
                break;
            case TurnKind.Tool:
                answers = answers.With(right);
                break;
            case TurnKind.Unknown when turn.ExpectedRefusal == "no tool":
                noTool = noTool.With(right);
                break;
            case TurnKind.Unknown:
                refusals = refusals.With(right);
                break;
            case TurnKind.Tell:
            case TurnKind.SmallTalk:
                smallTalk = smallTalk.With(right);
                break;
        }
    }

    public Score ToScore()
    {
        IEnumerable<(string, Tally)> distances = recallByDistance.Select((tally, i) => (
            (i == 0 ? "recall, up to " : $"recall, {Distances[i - 1]:N0} to ") + (Distances[i] == int.MaxValue ? "more" : $"{Distances[i]:N0}") + " tokens away", tally));
        IEnumerable<(string, Tally)> kinds = recallByKind.OrderBy(k => k.Key).Select(k => (k.Key switch
        {
            RecallKind.Plain => "recall of a value told once",
            RecallKind.Digits => "recall of twelve digits",
            RecallKind.Changed => "recall of a changed value",
            RecallKind.Several => "recall of several values",
            RecallKind.OneHop => "recall over a partner",
            _ => "recall over a partner's partner",
        }, k.Value));
        return new([.. distances, .. kinds, ("tool calls: name and arguments", calls), ("tool calls in rounds", laterCalls), ("answers from tool results", answers),
            ("refusals of what was never told", refusals), ("refusals of a tool that is not there", noTool), ("acknowledgements and small talk", smallTalk)]);
    }
}
