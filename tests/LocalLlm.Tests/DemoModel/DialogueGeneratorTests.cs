using System.Text.Json;
using DemoModel.Dialogues;

namespace LocalLlm.Tests.DemoModel;

public sealed class DialogueGeneratorTests
{
    [Fact]
    public void Next_SameSeed_SameDialogue()
    {
        string Render(int seed) => string.Concat(Turns(new(seed, Split.Test), 60).SelectMany(t => ChatFormat.Turn(t, 0)).Select(p => p.Text));

        Render(5).ShouldBe(Render(5));
        Render(5).ShouldNotBe(Render(6));
    }

    [Fact]
    public void Next_TestSplit_SharesNoNameOrValueWithTraining()
    {
        HashSet<string> training = Wholes(Split.Training), test = Wholes(Split.Test);

        test.Count.ShouldBeGreaterThan(300);
        test.Intersect(training).ShouldBeEmpty();
        training.ShouldAllBe(w => Lexicon.SplitOf(w) == Split.Training);
        test.ShouldAllBe(w => Lexicon.SplitOf(w) == Split.Test);
    }

    [Fact]
    public void SplitOf_AllNames_HoldsOutAboutOneInEight()
    {
        string[] names = [.. Lexicon.NameStarts.SelectMany(s => Lexicon.NameEnds.Select(e => s + e))];

        double share = names.Count(n => Lexicon.SplitOf(n) == Split.Test) / (double)names.Length;

        share.ShouldBeInRange(0.10, 0.15);
        Lexicon.NameStarts.ShouldAllBe(s => Lexicon.NameEnds.Any(e => Lexicon.SplitOf(s + e) == Split.Training));
        Lexicon.NameEnds.ShouldAllBe(e => Lexicon.NameStarts.Any(s => Lexicon.SplitOf(s + e) == Split.Training));
    }

    [Fact]
    public void Next_RecallAndUnknown_AnswerFollowsFromWhatWasTold()
    {
        for (int seed = 0; seed < 30; seed++)
        {
            var told = new Dictionary<string, string>();
            foreach (ScriptedTurn turn in Turns(new(seed, Split.Test, new() { AskOnce = true }), 80))
            {
                switch (turn.Kind)
                {
                    case TurnKind.Tell:
                        foreach (Fact fact in turn.Facts)
                        {
                            turn.UserText.ShouldContain(fact.Statement);
                            told.TryAdd(fact.Key, fact.Value).ShouldBeTrue();
                        }

                        break;
                    case TurnKind.Recall:
                        turn.Facts.ShouldNotBeEmpty();
                        foreach (Fact fact in turn.Facts)
                        {
                            turn.UserText.ShouldContain(fact.Key);
                            turn.UserText.ShouldNotContain(fact.Value);
                            turn.Answer.ShouldContain(fact.Statement);
                            told.Remove(fact.Key, out string? value).ShouldBeTrue("a fact is asked for once");
                            value.ShouldBe(fact.Value);
                        }

                        break;
                    case TurnKind.Unknown:
                        turn.Answer.ShouldContain(turn.ExpectedRefusal!);
                        told.Keys.ShouldAllBe(k => !turn.UserText.Contains(k));
                        told.Values.ShouldAllBe(v => !turn.Answer.Contains(v));
                        break;
                    case TurnKind.SmallTalk:
                    case TurnKind.Tool:
                        break;
                }
            }
        }
    }

    [Fact]
    public void Next_ToolTurns_ResultsAreThoseOfAFreshWorkshop()
    {
        var stock = new StockRoom();
        var calendar = new DayBook();
        var notes = new NoteBook();
        int calls = 0;
        foreach (ScriptedCall call in Turns(new(11, Split.Test), 300).SelectMany(t => t.Calls))
        {
            using JsonDocument arguments = JsonDocument.Parse(call.ArgumentsJson);
            string Text(string name) => arguments.RootElement.GetProperty(name).GetString()!;
            int Quantity() => arguments.RootElement.GetProperty("quantity").GetInt32();
            string result = call.Name switch
            {
                "Stock-check" => stock.Check(Text("item")),
                "Stock-add" => stock.Add(Text("item"), Quantity()),
                "Stock-remove" => stock.Remove(Text("item"), Quantity()),
                "Calendar-book" => calendar.Book(Text("day"), Text("time"), Text("title")),
                "Calendar-list" => calendar.List(Text("day")),
                "Notes-save" => notes.Save(Text("topic"), Text("text")),
                "Notes-read" => notes.Read(Text("topic")),
                _ => throw new InvalidOperationException(call.Name),
            };
            result.ShouldBe(call.Result);
            calls++;
        }

        calls.ShouldBeGreaterThan(50);
    }

    [Fact]
    public void Next_ToolTurns_ArgumentsMatchTheSchemaAndTheUserText()
    {
        foreach (ScriptedTurn turn in Turns(new(12, Split.Training), 300).Where(t => t.Kind == TurnKind.Tool))
        {
            foreach (ScriptedCall call in turn.Calls)
            {
                DemoTool tool = DemoTools.All.Single(t => t.Name == call.Name);
                using JsonDocument arguments = JsonDocument.Parse(call.ArgumentsJson);
                arguments.RootElement.EnumerateObject().Select(p => p.Name).ShouldBe(tool.Parameters.Select(p => p.Name));
                foreach (JsonProperty argument in arguments.RootElement.EnumerateObject())
                    turn.UserText.ShouldContain(argument.Value.ToString());
            }
        }
    }

    private static IEnumerable<ScriptedTurn> Turns(DialogueGenerator generator, int count) => generator.Take(count);

    private static HashSet<string> Wholes(Split split)
    {
        var wholes = new HashSet<string>();
        for (int seed = 0; seed < 60; seed++)
        {
            foreach (ScriptedTurn turn in new DialogueGenerator(seed, split).Take(40))
            {
                foreach (Fact fact in turn.Facts)
                    wholes.UnionWith([fact.Name, fact.Value]);
                foreach (ScriptedCall call in turn.Calls)
                {
                    using JsonDocument arguments = JsonDocument.Parse(call.ArgumentsJson);
                    foreach (string name in (string[])["item", "title", "topic", "text"])
                    {
                        if (arguments.RootElement.TryGetProperty(name, out JsonElement value))
                            wholes.Add(value.GetString()!);
                    }
                }
            }
        }

        return wholes;
    }
}
