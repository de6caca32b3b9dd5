using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;
using static LocalLlm.Tests.Sampling.Constraints.ConstrainedText;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>Masks for which ready sets of plain tokens stand in for a walk: each token must be there that can be accepted, and no other.</summary>
public class PlainTokenTests
{
    [Theory]
    [InlineData("any")]
    [InlineData("\"\"")]
    [InlineData("0..3")]
    [InlineData("2..5")]
    [InlineData("4..4")]
    [InlineData("3..")]
    [InlineData("3 then a")]
    [InlineData("any or abc")]
    [InlineData("0..2 or 0..4")]
    [InlineData("text")]
    [InlineData("text 0..2")]
    [InlineData("without x")]
    public void Mask_StringsOfManyCharacters_LeavesWhatCanBeAccepted(string name)
    {
        GrammarNode value = name switch
        {
            "any" => JsonGrammar.String,
            "\"\"" => Text(0, 0),
            "0..3" => Text(0, 3),
            "2..5" => Text(2, 5),
            "4..4" => Text(4, 4),
            "3.." => Text(3, null),
            // Three of any, then a's.
            "3 then a" => new JsonStringNode(new CharDfa(0, [Any(1), Any(2), Any(3), [new CharEdge('a', 'a', 3)]], [false, false, false, true])),
            "any or abc" => GrammarNode.Choice(JsonGrammar.String, new JsonStringNode(CharDfas.FromStrings(["abc"]))),
            "0..2 or 0..4" => GrammarNode.Choice(Text(0, 2), GrammarNode.Sequence(Text(0, 4), GrammarNode.Literal("!"))),
            "text" => new TextNode(JsonGrammar.AnyText),
            "text 0..2" => GrammarNode.Sequence(new TextNode(Counted(0, 2)), GrammarNode.Literal("abc")),
            _ => new JsonStringNode(new CharDfa(0, [[new CharEdge(0, 'w', 0), new CharEdge('y', 0xD7FF, 0), new CharEdge(0xE000, 0x10FFFF, 0)]], [true])),
        };
        var pieces = new[] { "a", "abc", "x", "é", "東京", "😀", "\"", "\",", "\\", "\\n", "\n", " ", "!", "ab\"" };
        var random = new Random(7);
        var texts = Enumerable.Range(0, 300).Select(_ => string.Concat(Enumerable.Range(0, random.Next(2, 5)).Select(_ => pieces[random.Next(pieces.Length)])));
        var vocabulary = Vocabulary([.. texts.Distinct()]);
        var grammar = CompiledGrammar.Create(GrammarNode.Sequence(value, GrammarNode.Literal(",")), vocabulary);
        for (var run = 0; run < 6; run++)
        {
            var taken = new List<int>();
            for (var step = 0; step < 5; step++)
            {
                var allowed = Allowed(Replay(grammar, taken)!, vocabulary);
                allowed.ShouldBe([.. Enumerable.Range(0, vocabulary.LogitCount).Where(id => Replay(grammar, [.. taken, id]) is not null)]);
                taken.Add(allowed[random.Next(allowed.Length)]);
                if (taken[^1] == End)
                    break;
            }
        }
    }

    [Fact]
    public void Reach_BoundedStrings_CountsDown() => PlainCharacters.Reach(Counted(1, 3)).ShouldBe([3, 2, 1, 0]);

    [Fact]
    public void Reach_Loops_AreUnbounded()
    {
        PlainCharacters.Reach(JsonGrammar.AnyText).ShouldBe([int.MaxValue]);
        PlainCharacters.Reach(Counted(2, null)).ShouldBe([int.MaxValue, int.MaxValue, int.MaxValue]);
        // A character more may or may not follow.
        PlainCharacters.Reach(new CharDfa(0, [Any(1), [new CharEdge('a', 'z', 1)]], [false, true])).ShouldBe([0, 0]);
    }

    private static JsonStringNode Text(int least, int? most) => new(Counted(least, most));

    /// <summary>Any texts of so many characters.</summary>
    private static CharDfa Counted(int least, int? most)
    {
        var last = most ?? least;
        return new CharDfa(
            0,
            [.. Enumerable.Range(0, last + 1).Select(n => n < last ? Any(n + 1) : most is null ? Any(n) : [])],
            [.. Enumerable.Range(0, last + 1).Select(n => n >= least)]);
    }

    private static CharEdge[] Any(int target) => [new(0, 0x7F, target), new(0x80, 0xD7FF, target), new(0xE000, 0x10FFFF, target)];

    private static TokenConstraint? Replay(CompiledGrammar grammar, List<int> tokens)
    {
        var constraint = grammar.Start();
        try
        {
            tokens.ForEach(constraint.Accept);
            return constraint;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
