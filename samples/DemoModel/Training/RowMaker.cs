using DemoModel.Dialogues;
using DemoModel.Tokenizer;

namespace DemoModel.Training;

/// <summary>One training sequence: length + 1 ids, and for each of the last length ids the weight of its loss.</summary>
internal sealed record Row(int[] Ids, float[] Weights);

/// <summary>Makes training sequences: dialogues full of questions, dialogues like the sample's, and exercises in copying.</summary>
internal sealed class RowMaker(BytePairEncoder encoder)
{
    /// <summary>What the loss of a token that the model does not write weighs, and the share of such tokens that count at all.</summary>
    private const float OtherWeight = 0.3f;
    private const double OtherShare = 0.3;

    public Row Make(int seed, int length)
    {
        var random = new Random(seed);
        double kind = random.NextDouble();
        double copying = length <= 256 ? 0.05 : 0.02;
        if (kind < copying)
            return Copying(random, length);
        DialogueOptions options = kind < copying + (length <= 512 ? 0.6 : 0.35) ? Questions(random, length)
            : length <= 512 ? Tools(random)
            : Mixed(random);
        var generator = new DialogueGenerator(random.Next(), Split.Training, options);
        var dialogue = new EncodedDialogue(encoder, generator);
        while (dialogue.Ids.Count <= length)
            dialogue.Add(generator.Next());
        var weights = new float[length];
        for (int i = 0; i < length; i++)
            weights[i] = dialogue.IsModel[i + 1] ? 1 : random.NextDouble() < OtherShare ? OtherWeight : 0;
        return new([.. dialogue.Ids.Take(length + 1)], weights);
    }

    // Dense questions: the more of them in a row, the sooner copying over a distance is learnt.
    private static DialogueOptions Questions(Random random, int length) => new()
    {
        Tell = 3,
        Change = random.Next(2) * 1.2,
        Pair = random.Next(2) * 1.5,
        Recall = 4,
        RecallByPartner = 1.5,
        SmallTalk = 0.5,
        Tool = 0,
        Unknown = 0.7,
        Digits = 0.12,
        MaxFactsPerTurn = length <= 256 ? random.Next(1, 4) : random.Next(1, 7),
        NoTools = random.Next(4) == 0 && length > 512 ? 0 : 1,
        VarySystem = true,
        MaxNoiseSentences = 4,
    };

    private static DialogueOptions Tools(Random random) => new()
    {
        Tell = 2,
        Recall = 2,
        Tool = 7,
        MissingTool = 1,
        SmallTalk = 1.5,
        SeveralCalls = 0.25,
        MostTools = random.Next(3) == 0 ? 0 : 6,
        VarySystem = true,
        MaxNoiseSentences = 2,
    };

    private static DialogueOptions Mixed(Random random) => new()
    {
        Recall = 4,
        RecallByPartner = 1,
        Change = 1,
        Pair = 1,
        Tool = 4,
        MissingTool = 0.4,
        MostTools = random.Next(2) == 0 ? 0 : 6,
        VarySystem = true,
        MaxFactsPerTurn = 1 + random.Next(3),
        SmallTalk = random.Next(1, 5),
        MaxNoiseSentences = random.Next(2, 7),
        AskOnce = random.Next(2) == 0,
        RecentRecall = 0.15,
    };

    // Random ids, then the same again, at once or after others: what only copying can predict.
    private Row Copying(Random random, int length)
    {
        var ids = new List<int>();
        var copied = new List<bool>();
        while (ids.Count <= length)
        {
            int[][] parts = [.. Enumerable.Range(0, random.Next(1, 4))
                .Select(_ => Enumerable.Range(0, random.Next(4, 24)).Select(_ => random.Next(256, encoder.Count)).ToArray())];
            foreach (int[] part in parts)
            {
                ids.AddRange(part);
                copied.AddRange(Enumerable.Repeat(false, part.Length));
            }

            foreach (int[] part in parts.OrderBy(_ => random.Next()))
            {
                ids.AddRange(part);
                copied.Add(false);
                copied.AddRange(Enumerable.Repeat(true, part.Length - 1));
            }
        }

        return new([.. ids.Take(length + 1)], [.. copied.Skip(1).Take(length).Select(c => c ? 0.3f : 0f)]);
    }
}
