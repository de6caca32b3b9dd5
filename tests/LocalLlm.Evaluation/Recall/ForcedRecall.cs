using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Models;
using LocalLlm.KvCache;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Recall;

/// <summary>
/// A dialogue of the demo model as an exam: the answers are given, and an answer is right if greedy decoding would have written it, all of its
/// tokens. One pass through the cache marks all of them, each after the scripted history.
/// </summary>
internal sealed class ForcedRecall
{
    private sealed record Question(RecallAnswer Answer, int Start, int End);

    private readonly int[] ids;
    private readonly List<Question> questions = [];

    /// <summary>Makes a dialogue of the demo model's ids.</summary>
    /// <param name="encoder">The model's tokenizer.</param>
    /// <param name="task">What the dialogue is made of.</param>
    /// <param name="seed">Decides all that is random.</param>
    /// <param name="tokens">The most tokens.</param>
    public ForcedRecall(BytePairEncoder encoder, RecallTask task, int seed, int tokens)
    {
        var generator = new DialogueGenerator(seed, Split.Test, task.Options);
        var dialogue = new EncodedDialogue(encoder, generator);
        var spans = 0;
        while (true)
        {
            var (length, before) = (dialogue.Ids.Count, dialogue.Spans.Count);
            dialogue.Add(generator.Next());
            if (dialogue.Ids.Count > tokens)
            {
                ids = [.. dialogue.Ids.Take(length)];
                spans = before;
                break;
            }
        }

        foreach (var span in dialogue.Spans.Take(spans))
        {
            if (AnswerOf(span, encoder) is { } answer)
                questions.Add(new Question(answer, span.Start, span.End));
        }
    }

    /// <summary>Tokens of the dialogue.</summary>
    public int Tokens => ids.Length;

    /// <summary>Lengths at which the model begins to write: where a prompt ends.</summary>
    public int[] PromptEnds => [.. questions.Select(q => q.Start)];

    /// <summary>Marks the answers through a cache, which is empty before.</summary>
    public IReadOnlyList<RecallAnswer> Mark(EvaluatedModel model, IKvCache cache, CancellationToken cancellationToken)
    {
        var greedy = new long[ids.Length];
        TeacherForcing.Run(
            model, cache, ids, (start, logits) => logits.argmax(-1).data<long>().ToArray().CopyTo(greedy, start), PromptEnds, cancellationToken);
        return [.. questions.Select(q => q.Answer with { IsRight = Enumerable.Range(q.Start, q.End - q.Start).All(at => greedy[at - 1] == ids[at]) })];
    }

    private static RecallAnswer? AnswerOf(ModelSpan span, BytePairEncoder encoder)
    {
        switch (span.Turn.Kind)
        {
            case TurnKind.Recall:
                var value = encoder.Encode(" " + span.Turn.Facts[0].Value).Count;
                var regime = Regimes.Of(span.Start, span.Start - span.DistanceTokens, value);
                return new RecallAnswer(span.Turn.Recall.ToString(), span.DistanceTokens, regime, false);
            case TurnKind.Tool when span.IsCall:
                return new RecallAnswer(RecallAnswer.ToolCall, 0, null, false);
            case TurnKind.Unknown:
                return new RecallAnswer(RecallAnswer.Refusal, 0, null, false);
            case TurnKind.Tell:
            case TurnKind.SmallTalk:
            case TurnKind.Tool:
            default:
                return null;
        }
    }
}
