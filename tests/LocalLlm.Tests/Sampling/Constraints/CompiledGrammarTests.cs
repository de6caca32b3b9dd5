using System.Text;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;
using static LocalLlm.Tests.Sampling.Constraints.ConstrainedText;

namespace LocalLlm.Tests.Sampling.Constraints;

public class CompiledGrammarTests
{
    [Theory]
    [InlineData("\"\"", true)]
    [InlineData("\"a b\"", true)]
    [InlineData("\"é€😀\"", true)]
    [InlineData("""
        "\" \\ \/ \b\f\n\r\t \u0000 \u00E9\ud83d\uDE00"
        """, true)]
    [InlineData("\"\n\"", false)]
    [InlineData("\"\u001f\"", false)]
    [InlineData("\"\\x\"", false)]
    [InlineData("\"\\u12g4\"", false)]
    [InlineData("\"\\ud83d\"", false)]
    [InlineData("\"\\ude00\"", false)]
    [InlineData("\"\\ud83d\\u0061\"", false)]
    [InlineData("\"a", false)]
    [InlineData("'a'", false)]
    public void JsonString_Spellings_AreThoseOfJson(string text, bool expected) => Accepts(JsonGrammar.String, text).ShouldBe(expected);

    [Fact]
    public void JsonString_OneValue_TakesEverySpellingOfItAndNoOther()
    {
        var node = new JsonStringNode(CharDfas.FromStrings(["a/😀"]));

        foreach (var text in new[] { "\"a/😀\"", "\"\\u0061\\/\\uD83D\\ude00\"", "\"a\\u002f😀\"" })
            Accepts(node, text).ShouldBeTrue(text);
        foreach (var text in new[] { "\"a/😁\"", "\"a\\u002e", "\"a/\\ud83c", "\"a/\\ud83d\\ude01", "\"\\u01" })
            Read(node, Encoding.UTF8.GetBytes(text)).IsPrefix.ShouldBeFalse(text);
    }

    [Fact]
    public void Text_AnyCharacters_TakesValidUtf8AndNothingElse()
    {
        var any = CompiledGrammar.Create(GrammarNode.Sequence(new TextNode(JsonGrammar.AnyText)), Vocabulary());
        var random = new Random(1);
        byte[] telling = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF];
        for (var i = 0; i < 20_000; i++)
        {
            var text = Enumerable.Range(0, random.Next(1, 5)).Select(_ => telling[random.Next(telling.Length)]).ToArray();
            var constraint = any.Start();
            var mayEnd = true;
            foreach (var value in text)
            {
                if (!TryAccept(constraint, value))
                {
                    mayEnd = false;
                    break;
                }

                mayEnd = constraint.MayEnd;
            }

            mayEnd.ShouldBe(System.Text.Unicode.Utf8.IsValid(text), Convert.ToHexString(text));
        }
    }

    [Fact]
    public void JsonObject_Properties_ComeInAnyOrderOnceAndWithTheRequired()
    {
        var node = Object(null, ("a", true), ("b", false), ("c", true));

        foreach (var text in new[] { "{\"a\":1,\"c\":1}", "{\"c\":1,\"a\":1}", "{ \"b\" : 1 ,\n\"c\":1 , \"a\":1 }", "{\"\\u0061\":1,\"c\":1}" })
            Accepts(node, text).ShouldBeTrue(text);
        foreach (var text in new[] { "{\"a\":1}", "{\"a\":1,\"a\"", "{\"a\":1,\"\\u0061\"", "{\"d\"", "{}", "{\"a\":1,}", " {" })
            Read(node, Encoding.UTF8.GetBytes(text)).MayEnd.ShouldBeFalse(text);
        Read(node, "{\"a\":1,\"a\""u8).IsPrefix.ShouldBeFalse();
    }

    [Fact]
    public void JsonObject_MaxProperties_LeavesRoomForTheRequired()
    {
        var node = Object(2, ("a", true), ("b", false), ("c", true), ("d", false));

        Read(node, "{\"b"u8).IsPrefix.ShouldBeFalse();
        Read(node, "{\"a\":1,\"d"u8).IsPrefix.ShouldBeFalse();
        Read(node, "{\"c\":1,\"a\":1,"u8).IsPrefix.ShouldBeFalse();
        Accepts(node, "{\"c\":1,\"a\":1}").ShouldBeTrue();
    }

    [Fact]
    public void JsonObject_ManyProperties_AreEachTakenOnce()
    {
        var node = Object(null, [.. Enumerable.Range(0, 150).Select(i => ($"p{i}", i % 2 == 0))]);
        var names = Enumerable.Range(0, 150).Reverse().ToList();

        Accepts(node, "{" + string.Join(',', names.Select(i => $"\"p{i}\":1")) + "}").ShouldBeTrue();
        Accepts(node, "{" + string.Join(',', names.Skip(2).Select(i => $"\"p{i}\":1")) + "}").ShouldBeFalse();
    }

    [Fact]
    public void JsonSpace_LongerThanItsBound_IsRefused()
    {
        Accepts(JsonGrammar.Object, "{" + new string(' ', 64) + "}").ShouldBeTrue();
        Read(JsonGrammar.Object, Encoding.UTF8.GetBytes("{" + new string(' ', 65))).IsPrefix.ShouldBeFalse();
    }

    [Theory]
    [InlineData("0", true)]
    [InlineData("-0.5e+10", true)]
    [InlineData("120E9", true)]
    [InlineData("01", false)]
    [InlineData("1.", false)]
    [InlineData("+1", false)]
    [InlineData("1e100", false)]
    [InlineData("-", false)]
    public void Number_Spellings_AreThoseOfJson(string text, bool expected) => Accepts(JsonGrammar.Number, text).ShouldBe(expected);

    [Fact]
    public void Number_Longest_IsFinite()
    {
        var longest = new string('9', 200) + "." + new string('9', 100) + "e99";
        Accepts(JsonGrammar.Number, longest).ShouldBeTrue();
        double.IsFinite(double.Parse(longest, System.Globalization.CultureInfo.InvariantCulture)).ShouldBeTrue();
        Accepts(JsonGrammar.Number, "9" + longest).ShouldBeFalse();
    }

    [Fact]
    public void Mask_CharacterSplitOverTokens_LeavesTheBytesThatFinishIt()
    {
        var vocabulary = Vocabulary();
        var constraint = CompiledGrammar.Create(new TextNode(CharDfas.FromStrings(["é", "è", "€"])), vocabulary).Start();

        Allowed(constraint, vocabulary).ShouldBe([0xC3, 0xE2]);
        constraint.Accept(0xC3);
        Allowed(constraint, vocabulary).ShouldBe([0xA8, 0xA9]);
        constraint.Accept(0xA8);
        Allowed(constraint, vocabulary).ShouldBe([End]);
    }

    [Fact]
    public void Mask_FreeTextWithAStop_GoesOnWithWhatFollowsInTheSameToken()
    {
        var vocabulary = Vocabulary("<call>{", "ll>[", "l", "ll", ">{}", "<call>a");
        int Id(int text) => 258 + text;
        var grammar = GrammarNode.Sequence(new FreeTextNode(["<call>"], [], false, ["bad"], []), JsonGrammar.Object);
        var constraint = CompiledGrammar.Create(grammar, vocabulary).Start();

        Allowed(constraint, vocabulary).ShouldBe([.. Enumerable.Range(0, 257), Id(0), Id(1), Id(2), Id(3), Id(4)]);
        foreach (var value in "b<ca"u8)
            constraint.Accept(value);
        Allowed(constraint, vocabulary).ShouldNotContain(Id(1));
        constraint.Accept(Id(3));
        constraint.MayEnd.ShouldBeFalse();
        constraint.Accept(Id(4));
        Allowed(constraint, vocabulary).ShouldBe([End]);

        var other = CompiledGrammar.Create(grammar, vocabulary).Start();
        other.Accept('b');
        other.Accept('a');
        Allowed(other, vocabulary).ShouldNotContain('d');
    }

    [Fact]
    public void Mask_ControlTokens_AreReachedByTheirNodeAndByFreeTextAlone()
    {
        var vocabulary = Vocabulary();

        Allowed(CompiledGrammar.Create(GrammarNode.Literal("<control>"), vocabulary).Start(), vocabulary).ShouldBe(['<']);
        Allowed(CompiledGrammar.Create(new TokenNode(Control), vocabulary).Start(), vocabulary).ShouldBe([Control]);
        Allowed(CompiledGrammar.Create(new FreeTextNode([], [], true, [], []), vocabulary).Start(), vocabulary).ShouldBe([.. Enumerable.Range(0, 258)]);
        Allowed(CompiledGrammar.Create(new FreeTextNode([], [], true, [], [Control]), vocabulary).Start(), vocabulary).ShouldNotContain(Control);
        Allowed(CompiledGrammar.Create(new FreeTextNode([], [], true, ["<control>"], []), vocabulary).Start(), vocabulary).ShouldNotContain(Control);
    }

    [Fact]
    public void Mask_EndTokenThatIsText_IsNeverText()
    {
        var vocabulary = ConstraintVocabulary.Create(Tokens(), [Control], ['b'], 258);
        var constraint = CompiledGrammar.Create(new TextNode(CharDfas.FromStrings(["ab", "ac"])), vocabulary).Start();

        constraint.Accept('a');

        Allowed(constraint, vocabulary).ShouldBe(['c']);
        constraint.Accept('c');
        Allowed(constraint, vocabulary).ShouldBe(['b']);
    }

    [Fact]
    public void Mask_TokenOfTheNodeThatIsText_IsTakenEitherWay()
    {
        var vocabulary = Vocabulary();
        var grammar = GrammarNode.Choice(GrammarNode.Sequence(new TokenNode('a'), GrammarNode.Literal("1")), GrammarNode.Literal("a2"));
        var constraint = CompiledGrammar.Create(grammar, vocabulary).Start();

        constraint.Accept('a');

        Allowed(constraint, vocabulary).ShouldBe(['1', '2']);
    }

    [Fact]
    public void Accept_EndToken_LeavesEndTokensAlone()
    {
        var vocabulary = Vocabulary();
        var constraint = CompiledGrammar.Create(new FreeTextNode([], [], true, [], []), vocabulary).Start();

        constraint.Accept(End);

        constraint.MayEnd.ShouldBeTrue();
        Allowed(constraint, vocabulary).ShouldBe([End]);
        Should.Throw<InvalidOperationException>(() => constraint.Accept('a'));
    }

    [Theory]
    [InlineData('b')]
    [InlineData(End)]
    [InlineData(-1)]
    [InlineData(10_000)]
    public void Accept_TokenThatCannotComeNext_IsAnErrorAndChangesNothing(int token)
    {
        var vocabulary = Vocabulary();
        var constraint = CompiledGrammar.Create(GrammarNode.Literal("ac"), vocabulary).Start();

        Should.Throw<InvalidOperationException>(() => constraint.Accept(token)).Message.ShouldContain(token.ToString(System.Globalization.CultureInfo.InvariantCulture));

        Allowed(constraint, vocabulary).ShouldBe(['a']);
    }

    [Fact]
    public void Mask_VocabularyWithoutTheCharacters_IsAnError()
    {
        var vocabulary = ConstraintVocabulary.Create([new byte[] { (byte)'a' }], [], [], 1);
        var constraint = CompiledGrammar.Create(GrammarNode.Literal("ab"), vocabulary).Start();

        constraint.Accept(0);

        Should.Throw<LocalLlmException>(() => constraint.Mask(new float[1])).Message.ShouldContain("no tokens");
        var complete = CompiledGrammar.Create(GrammarNode.Literal("a"), vocabulary).Start();
        complete.Accept(0);
        Should.Throw<LocalLlmException>(() => complete.Mask(new float[1])).Message.ShouldContain("eos_token_id");
        Should.Throw<ArgumentException>(() => complete.Mask(new float[2])).Message.ShouldContain("2 logits");
    }

    [Fact]
    public void Create_LeftRecursion_IsAnError()
    {
        var reference = new ReferenceNode();
        reference.Target = GrammarNode.Choice(GrammarNode.Sequence(GrammarNode.JsonSpace, reference, GrammarNode.Literal("a")), GrammarNode.Literal("b"));

        Should.Throw<ArgumentException>(() => CompiledGrammar.Create(reference, Vocabulary())).Message.ShouldContain("left recursion");
    }

    [Fact]
    public void Create_GrammarsThatCannotBeMatched_AreErrors()
    {
        GrammarNode[] wrong =
        [
            new RepeatNode(GrammarNode.JsonSpace, GrammarNode.Empty, 0, null), new RepeatNode(GrammarNode.Literal("a"), GrammarNode.Empty, 2, 1),
            new TokenNode(10_000), new ReferenceNode(), new FreeTextNode([], [], false, [], []), new FreeTextNode(["xax"], [], false, ["a"], []),
            new JsonArrayNode([], null, 1, null), Object(1, ("a", true), ("b", true)), new TextNode(CharDfas.FromStrings([])),
            new JsonObjectNode([], [], 1, null),
        ];
        foreach (var node in wrong)
            Should.Throw<ArgumentException>(() => CompiledGrammar.Create(node, Vocabulary()), node.GetType().Name);
    }

    [Fact]
    public void Accept_DeepNesting_IsFollowedWithoutRecursion()
    {
        var value = new ReferenceNode();
        value.Target = GrammarNode.Choice(new JsonArrayNode([], value, 0, null), GrammarNode.Literal("1"));
        var constraint = CompiledGrammar.Create(value, Vocabulary()).Start();

        for (var i = 0; i < 50_000; i++)
            constraint.Accept('[');
        constraint.Accept('1');
        for (var i = 0; i < 50_000; i++)
            constraint.Accept(']');

        constraint.MayEnd.ShouldBeTrue();
    }

    private static bool TryAccept(TokenConstraint constraint, int token)
    {
        try
        {
            constraint.Accept(token);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private static JsonObjectNode Object(int? max, params (string Name, bool Required)[] properties) =>
        new([.. properties.Select(p => new JsonProperty(p.Name, GrammarNode.Literal("1"), p.Required))], [], 0, max);
}
