using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using DemoModel.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Scoring;

/// <summary>
/// Scores without generating: where the most probable token is the right one at every place of an answer, greedy decoding writes exactly
/// that answer. One forward pass a dialogue scores all its turns, each after the scripted history. Stricter than
/// <see cref="EngineScorer"/>: every token of the answer must be right.
/// </summary>
internal static class ForcedScorer
{
    /// <summary>Seed of the first dialogue of the score.</summary>
    public const int Seed = 1_000_000_007;

    /// <summary>The dialogues of the score: each fact is asked for once, one at a time.</summary>
    public static readonly DialogueOptions DialogueOptions = new()
    {
        AskOnce = true,
        MaxFactsPerTurn = 1,
        RecentRecall = 0.1,
        Recall = 4,
        Tell = 4,
        Change = 1.2,
        Pair = 1.5,
        RecallByPartner = 1.2,
        MissingTool = 0.4,
        MostTools = 6,
    };

    /// <summary>The same with questions that reach far back.</summary>
    public static readonly DialogueOptions FarOptions = DialogueOptions with { LeastOpenFacts = 20, Tell = 8, Recall = 8, RecallByPartner = 3, RecentRecall = 0.05 };

    public static Score Score(
        Network network, BytePairEncoder encoder, int dialogues, int length, int seed, DialogueOptions options, Action<string>? wrong = null)
    {
        var counts = new ScoreCounts();
        for (int i = 0; i < dialogues; i++)
        {
            var generator = new DialogueGenerator(seed + i, Split.Test, options);
            var dialogue = new EncodedDialogue(encoder, generator);
            while (dialogue.Ids.Count < length - 160)
                dialogue.Add(generator.Next());
            long[] predicted = Predict(network, dialogue.Ids);
            foreach (ModelSpan span in dialogue.Spans)
            {
                bool right = Enumerable.Range(span.Start, span.End - span.Start).All(at => predicted[at - 1] == dialogue.Ids[at]);
                if (!right)
                    wrong?.Invoke($"{span.Turn.UserText}\n    {Marked(encoder, dialogue.Ids, predicted, span)}");
                counts.Add(span.Turn, span.IsCall, span.DistanceTokens, right);
            }
        }

        return counts.ToScore();
    }

    // The right text; what the model would have written instead of a token follows it in braces.
    private static string Marked(BytePairEncoder encoder, List<int> ids, long[] predicted, ModelSpan span) =>
        string.Concat(Enumerable.Range(span.Start, span.End - span.Start).Select(at => encoder.Decode([ids[at]])
            + (predicted[at - 1] == ids[at] ? "" : $"{{{encoder.Decode([(int)predicted[at - 1]])}}}"))).ReplaceLineEndings(" ");

    private static long[] Predict(Network network, List<int> ids)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        Tensor hidden = network.Forward(tensor(ids.Select(i => (long)i).ToArray()).unsqueeze(0)).squeeze(0);
        return network.Logits(hidden).argmax(-1).data<long>().ToArray();
    }
}
