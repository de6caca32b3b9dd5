using System.Text.Json;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Tokenization;
using static LocalLlm.Tests.Sampling.Constraints.ConstrainedText;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>Constraints over real tokenizers: what is written is judged by its decoded text.</summary>
public class TokenizerConstraintTests
{
    private static readonly string[] Folders = ["demo", "qwen2.5-0.5b-instruct", "smollm2-135m-instruct", "gpt2", "phi-3-mini-128k"];

    public static TheoryData<string> Tokenizers => [.. Folders];

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void Generate_Choice_GivesOneOfTheChoices(string name)
    {
        var (tokenizer, vocabulary) = Load(name);
        string[] choices = ["yes", "no", "it depends", "yesterday", "Grüße!", " leading space"];
        var grammar = CompiledGrammar.Create(new TextNode(CharDfas.FromStrings(choices)), vocabulary);
        var seen = new HashSet<string>();
        for (var seed = 0; seed < 20; seed++)
            seen.Add(Generate(grammar.Start(), vocabulary, tokenizer, new Random(seed), 100, _ => 0)!);

        seen.ShouldBeSubsetOf(choices);
        seen.Count.ShouldBeGreaterThan(3);
    }

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void Generate_AnyObject_IsReadableJson(string name)
    {
        var (tokenizer, vocabulary) = Load(name);
        var grammar = CompiledGrammar.Create(JsonGrammar.Object, vocabulary);
        // What closes strings, arrays and objects is likelier, so that texts end.
        var weights = Enumerable.Range(0, vocabulary.LogitCount)
            .Select(id => vocabulary.IsText(id) && vocabulary.Bytes(id).IndexOfAny("\"}]:"u8) >= 0 ? 0.4f + 0.2f * (id % 3) : 0).ToArray();
        var ended = 0;
        for (var seed = 0; seed < 8; seed++)
        {
            if (Generate(grammar.Start(), vocabulary, tokenizer, new Random(seed), 300, id => weights[id]) is not { } text)
                continue;
            ended++;
            using var document = JsonDocument.Parse(text);
            document.RootElement.ValueKind.ShouldBe(JsonValueKind.Object);
        }

        ended.ShouldBeGreaterThan(2);
    }

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void Mask_OwnEncoding_IsAllowedTokenByToken(string name)
    {
        var (tokenizer, vocabulary) = Load(name);
        const string text = """{"name": "Zoë \"Z\" 東京 🙂", "tags": ["a", "b\\n", ""], "size": -12.5e3, "on": true, "none": null,  "in": {"x": [1, 2]}}""";
        var ids = tokenizer.Encode(text);
        tokenizer.Decode(ids).ShouldBe(text);
        var constraint = CompiledGrammar.Create(JsonGrammar.Object, vocabulary).Start();
        foreach (var id in ids)
        {
            Allowed(constraint, vocabulary).ShouldContain(id, $"'{tokenizer.TokenText(id)}'");
            constraint.Accept(id);
        }

        constraint.MayEnd.ShouldBeTrue();
        Allowed(constraint, vocabulary).ShouldBe([.. vocabulary.EndIds]);
    }

    [Fact]
    public void Mask_FirstTokenWhoseSpaceIsTakenOff_IsJudgedWithoutIt()
    {
        var (tokenizer, vocabulary) = Load("phi-3-mini-128k");
        tokenizer.TryGetId("▁hello", out var spaced).ShouldBeTrue();
        tokenizer.TryGetId("hello", out var bare).ShouldBeTrue();
        var grammar = CompiledGrammar.Create(new TextNode(CharDfas.FromStrings(["hello", "hello hello"])), vocabulary);

        Allowed(grammar.Start(), vocabulary).ShouldContain(spaced);
        Allowed(grammar.Start(), vocabulary).ShouldContain(bare);
        Allowed(grammar.Start(continuesText: true), vocabulary).ShouldNotContain(spaced);
        var constraint = grammar.Start();
        constraint.Accept(spaced);
        Allowed(constraint, vocabulary).ShouldContain(spaced);
        Allowed(constraint, vocabulary).ShouldNotContain(bare);
        constraint.Accept(spaced);
        constraint.MayEnd.ShouldBeTrue();
        tokenizer.Decode([spaced, spaced]).ShouldBe("hello hello");
    }

    [Fact]
    public void Mask_FirstTokenIsASpaceAlone_LeavesTheTextAtItsStart()
    {
        var (tokenizer, vocabulary) = Load("phi-3-mini-128k");
        tokenizer.TryGetId("▁", out var space).ShouldBeTrue();
        tokenizer.TryGetId("hello", out var bare).ShouldBeTrue();
        var constraint = CompiledGrammar.Create(GrammarNode.Literal("hello"), vocabulary).Start();

        constraint.Accept(space);

        Allowed(constraint, vocabulary).ShouldContain(bare);
        Allowed(constraint, vocabulary).ShouldNotContain(space);
        tokenizer.Decode([space, bare]).ShouldBe("hello");
    }

    [Fact]
    public void Mask_PaddedLogits_AreNeverLeft()
    {
        var (tokenizer, vocabulary) = Load("demo");
        var free = CompiledGrammar.Create(new FreeTextNode([], [], true, [], []), vocabulary);

        Allowed(free.Start(), vocabulary).ShouldAllBe(id => id < tokenizer.VocabularySize && tokenizer.IsToken(id));
    }

    private static (TextTokenizer Tokenizer, ConstraintVocabulary Vocabulary) Load(string name)
    {
        var tokenizer = TextTokenizer.Load(
            name == "demo" ? RepositoryRoot.Require("samples", "DemoModel", "model") : SharedData.Require("tokenizers", name));
        var end = tokenizer.EosId ?? Enumerable.Range(0, tokenizer.VocabularySize).First(tokenizer.IsSpecial);
        return (tokenizer, ConstraintVocabulary.Create(tokenizer, [end], tokenizer.VocabularySize + 61));
    }
}
