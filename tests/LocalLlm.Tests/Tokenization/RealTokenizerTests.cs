using System.Text.Json;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

/// <summary>Tokenizers of published models, against ids that the publishers' own libraries gave.</summary>
public sealed class RealTokenizerTests
{
    public static TheoryData<string> Folders => ["gpt2", "qwen2.5-0.5b-instruct", "smollm2-135m-instruct", "phi-3-mini-128k", "stories260K"];

    internal static TextTokenizer Load(string folder) =>
        TextTokenizer.Load(folder == "stories260K" ? SharedData.Require(folder) : SharedData.Require("tokenizers", folder));

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
}
