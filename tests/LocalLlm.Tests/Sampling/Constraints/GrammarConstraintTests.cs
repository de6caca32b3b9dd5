using System.Text;
using CsCheck;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints;

public class GrammarConstraintTests
{
    private const int Controls = 3; // ids 0 to 2: the end, and two that grammars may name

    private static readonly string[] Words = ["", "a", "ab", "b", "aé", "é", "\"", "\\", "\n", "😀a", "<t>", "/"];

    // Pieces from which members of the random grammars can be spelled, and some that lead nowhere.
    private static readonly string[] Pieces =
    [
        "{", "}", "[", "]", ":", ",", "\"", " ", "\n", "a", "b", "ab", "é", "😀", "\\", "\\\"", "\\n", "\\u", "00", "e9", "E9", "\\u00e9", "\\ud83d", "\\ude00",
        "6", "1", "d83", "dDE00", "{\"", "\"}", "\": ", "\",", "\":\"", "\",\"", "[\"a", "a\"]", "], ", "}, {", "<", "t", ">", "<t", "t>", "<t>a", "a<", "\"a\"", "\"a", "a\"", "  ", "/", "\\/", "5c",
    ];

    private static readonly Gen<CharDfa> Languages = OneOf(Words).Array[1, 3].Select(words => CharDfas.FromStrings(words.Distinct().ToList()));

    private static readonly Gen<ConstraintVocabulary> Vocabularies = Gen.Select(OneOf(Pieces).Array[5, 40], Gen.Bool).Select((pieces, withParts) =>
    {
        // Every byte once, so that nothing is impossible to spell, in random places; some tokens twice.
        var tokens = new List<byte[]> { Array.Empty<byte>(), Array.Empty<byte>(), Array.Empty<byte>() };
        tokens.AddRange(pieces.Select(Encoding.UTF8.GetBytes));
        tokens.AddRange(Pieces.Append("0123456789abcdef").SelectMany(Encoding.UTF8.GetBytes).Distinct().Select(b => new[] { b }));
        if (withParts)
            tokens.AddRange([Encoding.UTF8.GetBytes("😀")[..2], Encoding.UTF8.GetBytes("😀")[2..], [.. Encoding.UTF8.GetBytes("é")[1..], (byte)'"']]);
        var isControl = tokens.Select((_, i) => i < Controls).ToArray();
        return new ConstraintVocabulary([.. tokens.Select(t => (ReadOnlyMemory<byte>)t)], null, isControl, [0], tokens.Count + 5);
    });

    [Fact]
    public void Mask_RandomGrammars_LeavesWhatTheOracleLeaves()
    {
        var masks = 0;
        Gen.Select(Grammars(3), Vocabularies, Gen.Int).Sample(
            (grammar, vocabulary, seed) =>
            {
                var random = new Random(seed);
                var constraint = CompiledGrammar.Create(grammar, vocabulary).Start();
                var symbols = new List<int>();
                for (var step = 0; step < 12; step++)
                {
                    var logits = new float[vocabulary.LogitCount];
                    constraint.Mask(logits);
                    var (_, mayEnd) = PrefixOracle.Judge(grammar, symbols);
                    constraint.MayEnd.ShouldBe(mayEnd);
                    for (var id = 0; id < logits.Length; id++)
                    {
                        var expected = id == 0 ? mayEnd : Symbols(vocabulary, id) is { Length: > 0 } added && PrefixOracle.Judge(grammar, [.. symbols, .. added]).IsPrefix;
                        (logits[id] == 0).ShouldBe(expected, $"token {id} '{Show(vocabulary, id)}' after '{Show(symbols)}'");
                    }

                    Interlocked.Increment(ref masks);
                    int[] open = [.. Enumerable.Range(1, logits.Length - 1).Where(id => logits[id] == 0)];
                    if (open.Length == 0)
                        break;
                    var chosen = open[random.Next(open.Length)];
                    constraint.Accept(chosen);
                    symbols.AddRange(Symbols(vocabulary, chosen));
                }
            },
            iter: 1500, print: t => Show(t.Item1));
        masks.ShouldBeGreaterThan(5000);
    }

    [Theory]
    [InlineData(0, 40)]
    [InlineData(3, 40)]
    [InlineData(0, 3)]
    [InlineData(2, null)]
    public void Mask_StringsOfALength_LeavesWhatTheLengthLeaves(int min, int? max)
    {
        // Tokens of up to 5 characters, with a quote or without; masks of states far from the limits are shared.
        string[] pieces = ["\"", "a", "é", "ab", "aé😀", "abcde", "ab\"", "abcd\"", "\\n", "a\\n\"", "\"\""];
        var bytes = pieces.Select(Encoding.UTF8.GetBytes).ToList();
        bytes.Insert(0, []);
        var vocabulary = new ConstraintVocabulary([.. bytes.Select(b => (ReadOnlyMemory<byte>)b)], null, [.. bytes.Select(b => b.Length == 0)], [0], bytes.Count);
        var grammar = CompiledGrammar.Create(new JsonStringNode(CharDfas.OfLength(min, max)), vocabulary);
        for (var seed = 0; seed < 20; seed++)
        {
            var (random, text, constraint) = (new Random(seed), "", grammar.Start());
            for (var step = 0; step < 60; step++)
            {
                var logits = new float[vocabulary.LogitCount];
                constraint.Mask(logits);
                for (var id = 1; id < logits.Length; id++)
                    (logits[id] == 0).ShouldBe(IsBeginning(text + Encoding.UTF8.GetString(bytes[id])), $"'{text}' then '{Encoding.UTF8.GetString(bytes[id])}'");
                int[] open = [.. Enumerable.Range(1, logits.Length - 1).Where(id => logits[id] == 0 && (random.Next(4) == 0 || !bytes[id].Contains((byte)'"') || text.Length == 0))];
                if (open.Length == 0)
                    break;
                var chosen = open[random.Next(open.Length)];
                constraint.Accept(chosen);
                text += Encoding.UTF8.GetString(bytes[chosen]);
            }
        }

        bool IsBeginning(string json)
        {
            var (at, count) = (1, 0);
            if (json[0] != '"')
                return false;
            for (; at < json.Length && json[at] != '"'; count++)
                at += json[at] == '\\' || char.IsHighSurrogate(json[at]) ? 2 : 1; // \n, which is not cut in two

            return count <= (max ?? count) && (at == json.Length || (count >= min && at + 1 == json.Length));
        }
    }

    [Fact]
    public void Accept_WhatTheMaskForbids_IsRefusedAndChangesNothing()
    {
        var vocabulary = Vocabularies.Single();
        var constraint = CompiledGrammar.Create(GrammarNode.Literal("ab"), vocabulary).Start();
        Should.Throw<InvalidOperationException>(() => constraint.Accept(0)).Message.ShouldContain("Token 0");
        Accept(constraint, vocabulary, "a");
        Should.Throw<InvalidOperationException>(() => Accept(constraint, vocabulary, "a"));
        Accept(constraint, vocabulary, "b");
        constraint.MayEnd.ShouldBeTrue();
        constraint.Accept(0);
        constraint.Accept(0); // an end stays an end
        Should.Throw<InvalidOperationException>(() => Accept(constraint, vocabulary, "a"));
    }

    [Fact]
    public void Mask_NoTokenSpellsWhatMustCome_IsAClearError()
    {
        var vocabulary = Vocabularies.Single();
        var constraint = CompiledGrammar.Create(GrammarNode.Literal("a%"), vocabulary).Start();
        Accept(constraint, vocabulary, "a");
        Should.Throw<LocalLlmException>(() => constraint.Mask(new float[vocabulary.LogitCount])).Message.ShouldContain("vocabulary lacks");
    }

    [Fact]
    public void Start_AGrammarThatBeginsWithItself_IsAnError()
    {
        var reference = new ReferenceNode();
        reference.Target = GrammarNode.Choice(GrammarNode.Sequence(reference, GrammarNode.Literal("a")), GrammarNode.Literal("b"));
        Should.Throw<InvalidOperationException>(() => CompiledGrammar.Create(reference, Vocabularies.Single()).Start()).Message.ShouldContain("begins with itself");
    }

    [Fact]
    public void Mask_RecursiveGrammar_FollowsAnyDepth()
    {
        var vocabulary = Vocabularies.Single();
        var reference = new ReferenceNode();
        reference.Target = GrammarNode.Choice(
            GrammarNode.Sequence(GrammarNode.Literal("["), reference, GrammarNode.Literal("]")), GrammarNode.Literal("a"));
        var constraint = CompiledGrammar.Create(reference, vocabulary).Start();
        for (var depth = 0; depth < 500; depth++)
            Accept(constraint, vocabulary, "[");
        Accept(constraint, vocabulary, "a");
        for (var depth = 0; depth < 500; depth++)
        {
            constraint.MayEnd.ShouldBeFalse();
            Accept(constraint, vocabulary, "]");
        }

        constraint.MayEnd.ShouldBeTrue();
    }

    [Fact]
    public async Task OneGrammar_ManyThreads_EachGenerationIsItsOwn()
    {
        var vocabulary = Vocabularies.Single();
        var grammar = CompiledGrammar.Create(
            new JsonObjectNode([new JsonProperty("a", new JsonStringNode(CharDfas.FromStrings(Words)), true), new JsonProperty("b", JsonGrammar.Value, false)], [], 0, null), vocabulary);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(seed => Task.Run(() =>
        {
            for (var i = 0; i < 20; i++)
            {
                var constraint = grammar.Start();
                foreach (var piece in (string[])["{", "\"", i % 2 == 0 ? "a" : "b", "\"", ":", "\"", "a", "b", "\""])
                {
                    var logits = new float[vocabulary.LogitCount];
                    constraint.Mask(logits);
                    Accept(constraint, vocabulary, piece);
                }

                constraint.MayEnd.ShouldBeFalse();
            }
        }, TestContext.Current.CancellationToken)));
    }

    private static Gen<GrammarNode> Grammars(int depth)
    {
        var leaves = Gen.OneOf(
            Languages.Select(l => (GrammarNode)new TextNode(l)),
            Languages.Select(l => (GrammarNode)new JsonStringNode(l)),
            Gen.Const(GrammarNode.JsonSpace),
            Gen.Int[1, Controls - 1].Select(id => (GrammarNode)new TokenNode(id)),
            Gen.Select(OneOf("<t>", "a", "\"a", "é", "ab").Array[0, 2], OneOf("b", "<t>a", "t").Array[0, 1], Gen.Int[0, 2], Gen.Bool)
                .Select((stops, banned, stopId, mayEnd) =>
                    (GrammarNode)new FreeTextNode(stops, stopId == 0 ? [] : [stopId], mayEnd || (stops.Length == 0 && stopId == 0), banned, stopId == 1 ? [2] : [])));
        if (depth == 0)
            return leaves;
        var inner = Grammars(depth - 1);
        // What is repeated begins with a character of its own, so that it never stands for nothing.
        var solid = inner.Select(n => GrammarNode.Sequence(GrammarNode.Literal("a"), n));
        var limits = Gen.Select(Gen.Int[0, 2], Gen.Int[0, 2], Gen.Bool).Select((min, more, open) => (min, open ? (int?)null : min + more));
        return Gen.OneOf(
            leaves,
            inner.Array[1, 3].Select(items => GrammarNode.Sequence(items)),
            inner.Array[1, 3].Select(items => GrammarNode.Choice(items)),
            inner.Select(GrammarNode.Optional),
            Gen.Select(solid, leaves, limits).Select((item, separator, limit) => (GrammarNode)new RepeatNode(item, separator, limit.min, limit.Item2)),
            Gen.Select(inner.Array[0, 2], inner, Gen.Bool, limits).Select((prefix, item, hasItem, limit) =>
                (GrammarNode)new JsonArrayNode(prefix, hasItem ? item : null, hasItem ? limit.min : Math.Min(limit.min, prefix.Length), limit.Item2)),
            Gen.Select(inner.Array[0, 3], Gen.Bool.Array[3], inner, Gen.Bool, limits).Select((values, required, other, hasOther, limit) =>
            {
                JsonProperty[] properties = [.. values.Select((v, i) => new JsonProperty(((string[])["a", "ab", "é"])[i], v, required[i]))];
                JsonPropertyClass[] classes = hasOther ? [new JsonPropertyClass(CharDfas.FromStrings(["b", "\""]), other)] : [];
                var min = hasOther ? limit.min : Math.Min(limit.min, properties.Length);
                return (GrammarNode)new JsonObjectNode(properties, classes, min, limit.Item2 is { } max ? Math.Max(max, properties.Count(p => p.Required)) : null);
            }));
    }

    private static Gen<string> OneOf(params string[] texts) => Gen.Int[0, texts.Length - 1].Select(i => texts[i]);

    private static int[] Symbols(ConstraintVocabulary vocabulary, int id) =>
        vocabulary.IsControl(id) ? [PrefixOracle.Control(id)] : [.. vocabulary.Bytes(id, false).ToArray().Select(b => (int)b)];

    private static void Accept(TokenConstraint constraint, ConstraintVocabulary vocabulary, string piece)
    {
        foreach (var value in Encoding.UTF8.GetBytes(piece))
            constraint.Accept(Enumerable.Range(0, vocabulary.LogitCount).First(id => vocabulary.Bytes(id, false).SequenceEqual([value])));
    }

    private static string Show(ConstraintVocabulary vocabulary, int id) => Show(Symbols(vocabulary, id));

    private static string Show(IEnumerable<int> symbols) => string.Concat(symbols.Select(s => s < 256 ? s is >= 32 and < 127 ? ((char)s).ToString() : $"<{s:x2}>" : $"[{s - 256}]"));

    private static string Show(GrammarNode node) => node switch
    {
        TextNode => "text",
        JsonStringNode => "string",
        FreeTextNode f => $"free(stops {string.Join('|', f.StopTexts)} {string.Join('|', f.StopIds)}, banned {string.Join('|', f.BannedTexts)}, mayEnd {f.MayEnd})",
        TokenNode t => $"token {t.Id}",
        SequenceNode s => $"({string.Join(" ", s.Items.Select(Show))})",
        ChoiceNode c => $"({string.Join(" | ", c.Items.Select(Show))})",
        RepeatNode r => $"repeat({Show(r.Item)}, {Show(r.Separator)}, {r.Min}, {r.Max})",
        JsonArrayNode a => $"array({string.Join(", ", a.Prefix.Select(Show))}; {(a.Item is null ? "-" : Show(a.Item))}, {a.Min}, {a.Max})",
        JsonObjectNode o => $"object({string.Join(", ", o.Properties.Select(p => p.Name + (p.Required ? "!" : "") + ": " + Show(p.Value)))}; {o.Classes.Count}, {o.Min}, {o.Max})",
        _ => "space",
    };
}
