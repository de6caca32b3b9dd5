using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

/// <summary>Tokenizers of published models, against ids that the publishers' own libraries gave.</summary>
public sealed class RealTokenizerTests
{
    public static TheoryData<string> Folders => ["gpt2", "qwen2.5-0.5b-instruct", "smollm2-135m-instruct", "phi-3-mini-128k", "stories260K"];

    // A tokenizer is immutable and loading the largest takes a second.
    private static readonly ConcurrentDictionary<string, TextTokenizer> Loaded = new();

    internal static TextTokenizer Load(string folder)
    {
        string path = folder == "stories260K" ? SharedData.Require(folder) : SharedData.Require("tokenizers", folder);
        return Loaded.GetOrAdd(path, TextTokenizer.Load);
    }

    internal static IReadOnlyList<(string Id, string Text)> Inputs()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(SharedData.Require("tokenizers", "expected", "inputs.json")));
        return [.. json.RootElement.EnumerateArray().Select(e => (e.GetProperty("id").GetString()!, e.GetProperty("text").GetString()!))];
    }

    [Theory]
    [InlineData("gpt2", "gpt2_multilingual.json")]
    [InlineData("qwen2.5-0.5b-instruct", "qwen2_5_multilingual.json")]
    public void EncodeAndDecode_MultilingualInputs_EqualTransformers(string folder, string expectedFile)
    {
        var tokenizer = Load(folder);
        var inputs = Inputs().ToDictionary(i => i.Id, i => i.Text);
        using var json = JsonDocument.Parse(File.ReadAllText(SharedData.Require("tokenizers", "expected", expectedFile)));
        var entries = json.RootElement.GetProperty("entries").EnumerateArray().ToList();
        entries.Count.ShouldBe(inputs.Count);
        foreach (var entry in entries)
        {
            string id = entry.GetProperty("id").GetString()!;
            int[] expected = [.. entry.GetProperty("input_ids").EnumerateArray().Select(e => e.GetInt32())];
            tokenizer.EncodeWithControlTokens(inputs[id], addSpecialTokens: true).ShouldBe(expected, id);
            tokenizer.Decode(expected, skipSpecial: false).ShouldBe(entry.GetProperty("decoded_with_special").GetString(), id);
            tokenizer.Decode(expected, skipSpecial: true).ShouldBe(entry.GetProperty("decoded_skip_special").GetString(), id);
            tokenizer.Encode([new PromptSegment(inputs[id], IsTemplate: true)], addBos: true).ShouldBe(expected, id);
        }
    }

    [Fact]
    public void Encode_Stories260K_EqualsGolden()
    {
        var tokenizer = Load("stories260K");
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(SharedData.Require("stories260K"), "golden.json")));
        var cases = json.RootElement.GetProperty("encode").EnumerateArray().ToList();
        cases.ShouldNotBeEmpty();
        foreach (var golden in cases)
        {
            string text = golden.GetProperty("text").GetString()!;
            int[] expected = [.. golden.GetProperty("ids").EnumerateArray().Select(e => e.GetInt32())];
            tokenizer.Encode([new PromptSegment(text, IsTemplate: false)], addBos: true).ShouldBe(expected, text);
            tokenizer.EncodeWithControlTokens(text, addSpecialTokens: true).ShouldBe(expected, text);
            tokenizer.Decode(expected).ShouldBe(text);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Decode_EncodedInputs_GiveTheTexts(string folder)
    {
        var tokenizer = Load(folder);
        foreach (var (id, text) in Inputs())
        {
            string expected = folder.StartsWith("qwen", StringComparison.Ordinal) ? UnicodeNormalization.Normalize(text, compose: true) : text;
            tokenizer.Decode(tokenizer.Encode(text)).ShouldBe(expected, id);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Decode_AnyText_RoundTripsAndForgesNothing(string folder)
    {
        var tokenizer = Load(folder);
        // SmolLM2 has no tokens for some control characters and for bytes of planes without characters.
        bool[] missing = [.. Enumerable.Range(0, 256).Select(b =>
            tokenizer.Decoder.ByteLevel && !tokenizer.TryGetId(ByteLevelAlphabet.CharOf((byte)b).ToString(), out _))];
        RoundTripTests.Check(tokenizer, text => folder switch
        {
            "qwen2.5-0.5b-instruct" => UnicodeNormalization.Normalize(text, compose: true),
            "phi-3-mini-128k" or "stories260K" => RoundTripTests.UnderscoreAsSpace(text),
            _ => Encoding.UTF8.GetString([.. Encoding.UTF8.GetBytes(text).Where(b => !missing[b])]),
        });
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Add_RandomIds_DeltasJoinToTheWhole(string folder) => StreamingDecoderTests.CheckRandomIds(Load(folder));

    [Theory]
    [MemberData(nameof(Folders))]
    public void Encode_EachAddedTokenForged_IsPlainText(string folder)
    {
        var tokenizer = Load(folder);
        int[] added = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(tokenizer.IsAdded)];
        added.ShouldNotBeEmpty();
        foreach (int id in added)
        {
            string text = tokenizer.TokenText(id);
            tokenizer.EncodeWithControlTokens(text).ShouldBe([id]);
            tokenizer.Encode([new PromptSegment(text[..2], true), new PromptSegment(text[2..], true)], addBos: false).ShouldBe([id]);
            for (int cut = 0; cut < text.Length; cut++)
            {
                PromptSegment[][] forgeries =
                [
                    [new PromptSegment("a" + text[..cut], false), new PromptSegment(text[cut..] + "b", true)],
                    [new PromptSegment(text[..cut], true), new PromptSegment(text[cut..], false), new PromptSegment("b", true)],
                    [new PromptSegment("a" + text + " " + text, false)],
                ];
                // The second's first part is the whole token where nothing is cut off; the first's second part likewise.
                foreach (var forgery in cut == 0 ? forgeries[1..] : forgeries)
                {
                    int[] ids = tokenizer.Encode(forgery, addBos: false);
                    ids.ShouldNotContain(i => tokenizer.IsAdded(i));
                    tokenizer.Decode(ids).ShouldBe(string.Concat(forgery.Select(s => s.Text)));
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Encode_PromptWithoutForgeries_EqualsTheJoinedText(string folder)
    {
        var tokenizer = Load(folder);
        int added = Enumerable.Range(0, tokenizer.VocabularySize).Last(tokenizer.IsAdded);
        string control = tokenizer.TokenText(added);
        foreach (var (id, text) in Inputs())
        {
            PromptSegment[] prompt = [new(control + "user\n", true), new(text, false), new(" " + control + "\n", true)];
            tokenizer.Encode(prompt, addBos: true)
                .ShouldBe(tokenizer.EncodeWithControlTokens(string.Concat(prompt.Select(s => s.Text)), addSpecialTokens: true), id);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Encode_LongRuns_RoundTrip(string folder)
    {
        var tokenizer = Load(folder);
        foreach (char c in "a 7\n")
        {
            string text = new string(c, 100_000) + "x";
            tokenizer.Decode(tokenizer.Encode(text)).ShouldBe(text);
        }
    }

    [Fact]
    public void Load_RealTokenizers_TellTheirFacts()
    {
        var qwen = Load("qwen2.5-0.5b-instruct");
        qwen.VocabularySize.ShouldBe(151_665);
        qwen.BosId.ShouldBeNull();
        qwen.EosId.ShouldBe(151_645);
        qwen.IsSpecial(151_645).ShouldBeTrue();
        qwen.IsSpecial(151_657).ShouldBeFalse();
        qwen.IsAdded(151_657).ShouldBeTrue();
        qwen.TokenText(151_657).ShouldBe("<tool_call>");
        qwen.SpecialTokenTexts["eos_token"].ShouldBe("<|im_end|>");

        var phi = Load("phi-3-mini-128k");
        phi.VocabularySize.ShouldBe(32_011);
        // <|user|> swallows the line break after it, as its flags say.
        phi.EncodeWithControlTokens("<|user|>\nHi<|end|>\n<|assistant|>\n").ShouldBe([32_010, .. phi.Encode("Hi"), 32_007, 32_001]);

        var stories = Load("stories260K");
        stories.BosId.ShouldBe(1);
        stories.AddsBos.ShouldBeTrue();
        stories.TokenBytes(13).ToArray().ShouldBe([10]);
    }
}
