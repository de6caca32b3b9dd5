using System.Text.Json;
using System.Text.RegularExpressions;
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
        var kinds = new Dictionary<RecallKind, int>();
        for (int seed = 0; seed < 30; seed++)
        {
            var told = new Dictionary<string, string>();
            var partners = new Dictionary<string, string>();
            foreach (ScriptedTurn turn in Turns(new(seed, Split.Test, new() { AskOnce = true, Change = 1, Pair = 2, RecallByPartner = 2 }), 80))
            {
                switch (turn.Kind)
                {
                    case TurnKind.Tell when turn.Facts is [{ Earlier: [.., string before] } changed]:
                        turn.UserText.ShouldContain($"{changed.Attribute}: {before}, {(changed.KeepsEarlier ? "also" : "then")} {changed.Value}.");
                        told[changed.Key].ShouldBe(before);
                        told[changed.Key] = changed.Value;
                        break;
                    case TurnKind.Tell:
                        if (Regex.Match(turn.UserText, @"^We paired (\w+) with (\w+)\.$") is { Success: true } pair)
                            partners.Add(pair.Groups[1].Value, pair.Groups[2].Value);
                        foreach (Fact fact in turn.Facts)
                        {
                            turn.UserText.ShouldContain(fact.Statement);
                            told.TryAdd(fact.Key, fact.Value).ShouldBeTrue();
                        }

                        break;
                    case TurnKind.Recall:
                        kinds[turn.Recall] = kinds.GetValueOrDefault(turn.Recall) + 1;
                        turn.Facts.ShouldNotBeEmpty();
                        foreach (Fact fact in turn.Facts)
                        {
                            if (Regex.Match(turn.UserText, @"for (the partner of )+(\w+)") is { Success: true } hops)
                            {
                                string name = hops.Groups[2].Value;
                                foreach (Capture _ in hops.Groups[1].Captures)
                                {
                                    turn.Answer.ShouldContain($"You paired {name} with {partners[name]}.");
                                    name = partners[name];
                                }

                                fact.Name.ShouldBe(name);
                            }
                            else
                            {
                                turn.UserText.ShouldContain(fact.Key);
                            }

                            turn.UserText.ShouldNotContain(fact.Value);
                            turn.Answer.ShouldContain(fact.Statement);
                            fact.IsIn(turn.Answer).ShouldBeTrue();
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

        foreach (RecallKind kind in Enum.GetValues<RecallKind>())
            kinds.GetValueOrDefault(kind).ShouldBeGreaterThan(5, kind.ToString());
    }

    [Fact]
    public void Next_ToolTurns_ResultsAreThoseOfAFreshWorkshop()
    {
        var stock = new StockRoom();
        var calendar = new DayBook();
        var notes = new NoteBook();
        int calls = 0;
        foreach (ScriptedCall call in Turns(new(11, Split.Test, new() { MostTools = 12 }), 400).SelectMany(t => t.Calls))
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
                "Mail-send" => $"sent to {Text("to")}",
                "Timer-start" => $"running for {arguments.RootElement.GetProperty("minutes").GetInt32()} minutes",
                "Machine-start" => $"{Text("machine")} is running",
                "Machine-stop" => $"{Text("machine")} is stopped",
                "Price-ask" => PriceList.Ask(Text("item")),
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
        string before = "";
        foreach (ScriptedTurn turn in Turns(new(12, Split.Training), 400).Where(t => t.Kind == TurnKind.Tool))
        {
            // A later round may use an earlier result, and "the same" is the item of the turn before.
            string known = turn.UserText + string.Concat(turn.Calls.Select(c => c.Result)) + (turn.UserText.Contains("the same") ? before : "");
            before = string.Concat(turn.Calls.Select(c => c.ArgumentsJson));
            foreach (ScriptedCall call in turn.Calls)
            {
                DemoTool tool = DemoTools.All.Single(t => t.Name == call.Name);
                using JsonDocument arguments = JsonDocument.Parse(call.ArgumentsJson);
                arguments.RootElement.EnumerateObject().Select(p => p.Name).ShouldBe(tool.Parameters.Select(p => p.Name));
                foreach (JsonProperty argument in arguments.RootElement.EnumerateObject())
                    known.ShouldContain(argument.Value.ToString());
            }
        }
    }

    [Theory]
    [InlineData(false, "You gave Mirvelo falcon-417, then maple-220.", true)]
    [InlineData(false, "It is maple-220.", true)]
    [InlineData(false, "It was maple-220, then falcon-417.", false)]
    [InlineData(false, "It is falcon-417.", false)]
    [InlineData(true, "maple-220 and falcon-417", true)]
    [InlineData(true, "It is maple-220.", false)]
    public void IsIn_ChangedOrAddedTo_LastCountsOrAllDo(bool keepsEarlier, string answer, bool isRight) =>
        new Fact("locker code", "Mirvelo", "falcon-417").With("maple-220", keepsEarlier).IsIn(answer).ShouldBe(isRight);

    [Fact]
    public void Next_MissingTool_IsNotOffered()
    {
        int refused = 0;
        for (int seed = 0; seed < 20; seed++)
        {
            var generator = new DialogueGenerator(seed, Split.Test, new() { MostTools = 6, MissingTool = 3 });
            generator.Tools.Count.ShouldBeInRange(1, 6);
            generator.Tools.ShouldBeUnique();
            foreach (ScriptedTurn turn in generator.Take(40))
            {
                turn.Calls.Select(c => c.Name).ShouldBeSubsetOf(generator.Tools.Select(t => t.Name));
                refused += turn.ExpectedRefusal == "no tool" ? 1 : 0;
            }
        }

        refused.ShouldBeGreaterThan(20);
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
