using System.Globalization;
using System.Text.Json;
using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using DemoModel.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Scoring;

/// <summary>Right of asked.</summary>
internal sealed record Tally(int Right, int Asked)
{
    public double Share => Asked == 0 ? 0 : (double)Right / Asked;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Share:P1} of {Asked}");
}

/// <summary>How many of the model's turns are right, by what they are.</summary>
internal sealed record ForcedScore(IReadOnlyDictionary<int, Tally> RecallByDistance, Tally Calls, Tally Answers, Tally Refusals, Tally SmallTalk, Tally AnswerTokens)
{
    public string Line =>
        $"recall {string.Join("  ", RecallByDistance.OrderBy(r => r.Key).Where(r => r.Value.Asked > 0).Select(r => $"<{r.Key}: {r.Value}"))}  calls {Calls}  "
        + $"tool answers {Answers}  refusals {Refusals}  small talk {SmallTalk}  "
        + $"tokens of recall answers {AnswerTokens}";

    /// <summary>The score as a Markdown table.</summary>
    public string Table => string.Join('\n', Rows().Select(r => $"| {r.What} | {r.Tally.Right} | {r.Tally.Asked} | {r.Tally.Share.ToString("P1", CultureInfo.InvariantCulture)} |")
        .Prepend("|---|---:|---:|---:|").Prepend("| what | right | asked | share |"));

    /// <summary>The score as a JSON object.</summary>
    public string Json => JsonSerializer.Serialize(Rows().ToDictionary(r => r.What, r => new { r.Tally.Right, r.Tally.Asked }), Indented) + "\n";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

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

/// <summary>
/// Scores without generating: where the most probable token is the right one at every place of an answer, greedy decoding writes exactly
/// that answer. One forward pass a dialogue scores all its turns, each after the scripted history.
/// </summary>
internal static class ForcedScorer
{
    /// <summary>Seed of the first dialogue of the score.</summary>
    public const int Seed = 1_000_000_007;

    /// <summary>Upper ends of the distance classes, in tokens.</summary>
    public static readonly int[] Distances = [250, 500, 1000, 2000, 3000, 4096];

    /// <summary>The dialogues of the score: each fact is asked for once, one at a time.</summary>
    public static readonly DialogueOptions DialogueOptions = new() { AskOnce = true, MaxFactsPerTurn = 1, RecentRecall = 0.1, Recall = 4, Tell = 4 };

    public static ForcedScore Score(Network network, BytePairEncoder encoder, Split split, int dialogues, int length, int seed,
        Action<string>? wrong = null)
    {
        var recall = Distances.ToDictionary(d => d, _ => (Right: 0, Asked: 0));
        (int Right, int Asked) calls = default, answers = default, refusals = default, smallTalk = default, tokens = default;
        for (int i = 0; i < dialogues; i++)
        {
            var generator = new DialogueGenerator(seed + i, split, DialogueOptions);
            var dialogue = new EncodedDialogue(encoder, generator);
            while (dialogue.Ids.Count < length - 150)
                dialogue.Add(generator.Next());
            long[] predicted = Predict(network, dialogue.Ids);
            foreach (ModelSpan span in dialogue.Spans)
            {
                bool right = Enumerable.Range(span.Start, span.End - span.Start).All(at => predicted[at - 1] == dialogue.Ids[at]);
                if (!right)
                    wrong?.Invoke($"{span.Turn.UserText}\n    {Marked(encoder, dialogue.Ids, predicted, span)}");
                switch (span.Turn.Kind)
                {
                    case TurnKind.Recall:
                        int distance = Distances.First(d => span.DistanceTokens <= d);
                        for (int at = span.Start; at < span.End; at++)
                            tokens = Count(tokens, predicted[at - 1] == dialogue.Ids[at]);
                        recall[distance] = Count(recall[distance], right);
                        break;
                    case TurnKind.Tool when span.IsCall:
                        calls = Count(calls, right);
                        break;
                    case TurnKind.Tool:
                        answers = Count(answers, right);
                        break;
                    case TurnKind.Unknown:
                        refusals = Count(refusals, right);
                        break;
                    default:
                        smallTalk = Count(smallTalk, right);
                        break;
                }
            }
        }

        return new(recall.ToDictionary(r => r.Key, r => Tally(r.Value)), Tally(calls), Tally(answers), Tally(refusals), Tally(smallTalk), Tally(tokens));
    }

    // The right text; what the model would have written instead of a token follows it in braces.
    private static string Marked(BytePairEncoder encoder, List<int> ids, long[] predicted, ModelSpan span) =>
        string.Concat(Enumerable.Range(span.Start, span.End - span.Start).Select(at => encoder.Decode([ids[at]])
            + (predicted[at - 1] == ids[at] ? "" : $"{{{encoder.Decode([(int)predicted[at - 1]])}}}"))).ReplaceLineEndings(" ");

    private static (int, int) Count((int Right, int Asked) tally, bool right) => (tally.Right + (right ? 1 : 0), tally.Asked + 1);

    private static Tally Tally((int Right, int Asked) tally) => new(tally.Right, tally.Asked);

    private static long[] Predict(Network network, List<int> ids)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        Tensor hidden = network.Forward(tensor(ids.Select(i => (long)i).ToArray()).unsqueeze(0)).squeeze(0);
        return network.Logits(hidden).argmax(-1).data<long>().ToArray();
    }
}
