using System.Globalization;
using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.DemoModel;

public sealed class BytePairEncoderTests
{
    // Training takes seconds; the tests only read.
    private static readonly Lazy<BytePairEncoder> Shared = new(() => DialogueTokenizer.Train());

    [Fact]
    public void Encode_GroupsOfUpToThreeDigits_OneTokenEach()
    {
        for (int n = 0; n < 1000; n++)
            Shared.Value.Encode(n.ToString("000", CultureInfo.InvariantCulture)).Count.ShouldBe(1);
        for (int n = 0; n < 100; n++)
            Shared.Value.Encode(n.ToString("00", CultureInfo.InvariantCulture)).Count.ShouldBe(1);
    }

    [Fact]
    public void Encode_WordsOfTheLexicon_OneTokenEach()
    {
        foreach (string word in Lexicon.CodeWords.Concat(Lexicon.Adjectives).Concat(Lexicon.Nouns).Concat(Lexicon.Parts))
            Shared.Value.Encode(" " + word).Count.ShouldBe(1, word);
        foreach (string word in Lexicon.Materials.Concat(Lexicon.Subjects).Concat(Lexicon.Verbs))
            Shared.Value.Encode(word).Count.ShouldBe(1, word);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Grüße aus Köln, 12345 Mal 🎉!\n\n  Zwei  Zeilen\t")]
    [InlineData("<|im_start|> in plain text stays text")]
    public void Encode_AnyText_DecodesToItself(string text)
    {
        List<int> ids = Shared.Value.Encode(text);

        Shared.Value.Decode(ids).ShouldBe(text);
        ids.ShouldAllBe(i => i < Shared.Value.Count - Shared.Value.Added.Count);
    }

    [Fact]
    public void Encode_WrittenAsTokenizerJson_EngineGivesTheSameIds()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            ModelFolder.WriteTokenizer(folder, Shared.Value, 4096);
            TextTokenizer engine = TextTokenizer.Load(folder);

            engine.VocabularySize.ShouldBe(Shared.Value.Count);
            for (int seed = 0; seed < 10; seed++)
            {
                var generator = new DialogueGenerator(seed, Split.Test);
                var dialogue = new EncodedDialogue(Shared.Value, generator);
                string text = string.Concat(ChatFormat.System(generator.SystemPrompt, generator.Tools).Select(p => p.Text));
                for (int turn = 0; turn < 30; turn++)
                {
                    ScriptedTurn next = generator.Next();
                    dialogue.Add(next);
                    text += string.Concat(ChatFormat.Turn(next, turn).Select(p => p.Text));
                }

                engine.EncodeWithControlTokens(text).ShouldBe(dialogue.Ids);
                engine.Decode([.. dialogue.Ids], skipSpecial: false).ShouldBe(text);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void EncodedDialogue_Spans_AreWhatTheModelWrites()
    {
        var generator = new DialogueGenerator(4, Split.Test, new() { AskOnce = true, MaxFactsPerTurn = 1 });
        var dialogue = new EncodedDialogue(Shared.Value, generator);
        IReadOnlyList<ScriptedTurn> turns = generator.Take(60);
        foreach (ScriptedTurn turn in turns)
            dialogue.Add(turn);

        string[] written = [.. dialogue.Spans.Select(s => Shared.Value.Decode(dialogue.Ids[s.Start..s.End]))];

        written.ShouldBe(turns.SelectMany(t => t.Rounds.Select(r => string.Join("\n", r.Select(ChatFormat.Call))).Append(t.Answer).Select(w => w + ChatFormat.TurnEnd)));
        foreach (ModelSpan span in dialogue.Spans.Where(s => s.Turn.Kind == TurnKind.Recall))
            Shared.Value.Decode(dialogue.Ids.GetRange(span.Start - span.DistanceTokens, 8)).ShouldStartWith(" " + span.Turn.Facts[0].Value);
    }
}
