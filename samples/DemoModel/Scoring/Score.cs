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
internal sealed record Score(IReadOnlyDictionary<int, Tally> RecallByDistance, Tally Calls, Tally Answers, Tally Refusals, Tally SmallTalk)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>The score on one line.</summary>
    public string Line =>
        $"recall {string.Join("  ", RecallByDistance.OrderBy(r => r.Key).Where(r => r.Value.Asked > 0).Select(r => $"<{r.Key}: {r.Value}"))}  calls {Calls}  "
        + $"tool answers {Answers}  refusals {Refusals}  small talk {SmallTalk}";

    /// <summary>The score as a Markdown table.</summary>
    public string Table => string.Join('\n', Rows()
        .Select(r => $"| {r.What} | {r.Tally.Right} | {r.Tally.Asked} | {r.Tally.Share.ToString("P1", CultureInfo.InvariantCulture)} |")
        .Prepend("|---|---:|---:|---:|").Prepend("| what | right | asked | share |"));

    /// <summary>The score as a JSON object.</summary>
    public string Json => JsonSerializer.Serialize(Rows().ToDictionary(r => r.What, r => new { r.Tally.Right, r.Tally.Asked }), Indented) + "\n";

    private IEnumerable<(string What, Tally Tally)> Rows()
    {
        int from = 0;
        foreach ((int to, Tally tally) in RecallByDistance.OrderBy(r => r.Key))
        {
            yield return (string.Create(CultureInfo.InvariantCulture, $"recall, {from} to {to} tokens away"), tally);
            from = to + 1;
        }

        yield return ("tool calls: name and arguments", Calls);
        yield return ("answers from tool results", Answers);
        yield return ("refusals of what was never told", Refusals);
        yield return ("acknowledgements and small talk", SmallTalk);
    }
}

/// <summary>Counts up to a <see cref="Score"/>.</summary>
internal sealed class ScoreCounts
{
    /// <summary>Upper ends of the distance classes, in tokens.</summary>
    private static readonly int[] Distances = [250, 500, 1000, 2000, 3000, 4096];

    private readonly Dictionary<int, Tally> _recall = Distances.ToDictionary(d => d, _ => new Tally());
    private Tally _calls, _answers, _refusals, _smallTalk;

    public void Add(TurnKind kind, bool isCall, int distanceTokens, bool right)
    {
        switch (kind)
        {
            case TurnKind.Recall:
                int distance = Distances.First(d => distanceTokens <= d);
                _recall[distance] = _recall[distance].With(right);
                break;
            case TurnKind.Tool when isCall:
                _calls = _calls.With(right);
                break;
            case TurnKind.Tool:
                _answers = _answers.With(right);
                break;
            case TurnKind.Unknown:
                _refusals = _refusals.With(right);
                break;
            case TurnKind.Tell:
            case TurnKind.SmallTalk:
                _smallTalk = _smallTalk.With(right);
                break;
        }
    }

    public Score ToScore() => new(_recall, _calls, _answers, _refusals, _smallTalk);
}
