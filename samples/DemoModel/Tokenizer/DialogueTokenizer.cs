using DemoModel.Dialogues;

namespace DemoModel.Tokenizer;

/// <summary>Makes the demo model's tokenizer and encodes dialogues with it.</summary>
public static class DialogueTokenizer
{
    /// <summary>Ids of the demo model's tokenizer.</summary>
    public const int VocabularySize = 3008;

    /// <summary>Added tokens; the first three are special, the others are text that stays one token.</summary>
    public static IReadOnlyList<string> AddedTokens { get; } =
        [ChatFormat.EndOfText, ChatFormat.TurnStart, ChatFormat.TurnEnd, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"];

    /// <summary>Trains the tokenizer on dialogues of the training split and on the lexicon's pieces. Always gives the same result.</summary>
    public static BytePairEncoder Train(int dialogues = 400, int vocabularySize = VocabularySize)
    {
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        for (int seed = 0; seed < dialogues; seed++)
        {
            var generator = new DialogueGenerator(seed, Split.Training, new() { VarySystem = true, MostTools = seed % 2 * 6, MissingTool = 0.4 });
            foreach (DialoguePiece piece in ChatFormat.System(generator.SystemPrompt, generator.Tools))
                Count(piece, counts);
            for (int turn = 0; turn < 40; turn++)
            {
                foreach (DialoguePiece piece in ChatFormat.Turn(generator.Next(), turn))
                    Count(piece, counts);
            }
        }

        // Every piece of the lexicon gets a say, whatever the corpus happened to draw: names in two tokens, words in one.
        foreach (string piece in Lexicon.NameStarts.Select(s => " " + s).Concat(Lexicon.NameEnds))
            counts[piece] = counts.GetValueOrDefault(piece) + 3000;
        foreach (string word in Lexicon.CodeWords.Concat(Lexicon.Nouns).Concat(Lexicon.Adjectives).Concat(Lexicon.Verbs).Concat(Lexicon.Materials)
            .Concat(Lexicon.Parts).Concat(Lexicon.Subjects).Concat(Lexicon.Occasions).Concat(Lexicon.Days).Concat(Lexicon.Machines))
            counts[" " + word] = counts.GetValueOrDefault(" " + word) + 300;

        // First words of JSON strings have no space before them.
        foreach (string word in Lexicon.Verbs.Concat(Lexicon.Materials).Concat(Lexicon.Subjects).Concat(Lexicon.Days).Concat(Lexicon.Machines).Concat(Lexicon.NameStarts))
            counts[word] = counts.GetValueOrDefault(word) + 300;
        return BytePairTrainer.Train(counts, vocabularySize, AddedTokens);
    }

    /// <summary>The ids of a piece.</summary>
    public static IReadOnlyList<int> Encode(this BytePairEncoder encoder, DialoguePiece piece)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        return piece.IsControl ? [encoder.Added[piece.Text]] : encoder.EncodeWithAdded(piece.Text);
    }

    private static void Count(DialoguePiece piece, Dictionary<string, long> counts)
    {
        if (piece.IsControl)
            return;
        string text = AddedTokens.Aggregate(piece.Text, (t, added) => t.Replace(added, "\0", StringComparison.Ordinal));
        foreach (string word in text.Split('\0').SelectMany(BytePairEncoder.Split))
            counts[word] = counts.GetValueOrDefault(word) + 1;
    }
}
