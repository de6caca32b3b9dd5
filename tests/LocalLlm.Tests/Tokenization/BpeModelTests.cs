using System.Collections.Frozen;
using CsCheck;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Tokenization;

public sealed class BpeModelTests
{
    // Random models over a few letters, one of them beyond U+FFFF: each merge joins two tokens that are there.
    private static readonly Gen<BpeDefinition> Models = Gen.Int[0, 1000].Array[1, 40].Select(choices =>
    {
        List<string> tokens = ["a", "b", "c", "😀"];
        var merges = new List<(string, string)>();
        foreach (int choice in choices)
        {
            var pair = (tokens[choice % tokens.Count], tokens[choice / 7 % tokens.Count]);
            if (pair.Item1.Length + pair.Item2.Length > 12 || merges.Contains(pair))
                continue;
            merges.Add(pair);
            if (!tokens.Contains(pair.Item1 + pair.Item2))
                tokens.Add(pair.Item1 + pair.Item2);
        }
        return Definition(tokens, merges);
    });

    private static readonly Gen<string> Texts = TokenizerFiles.OneOf("a", "b", "c", "😀", "aa", "x").Array[1, 60].Select(string.Concat);

    private static BpeDefinition Definition(List<string> tokens, List<(string, string)> merges) => new()
    {
        Vocabulary = tokens.Select((t, i) => KeyValuePair.Create(t, i)).ToDictionary(),
        Merges = merges,
        UnknownId = null,
        FuseUnknown = false,
        ByteFallback = false,
        IgnoreMerges = false,
    };

    private static List<int> Encode(BpeDefinition definition, string text, int longestLibraryRun)
    {
        var ids = new List<int>();
        new BpeModel(new WordSplitter([]), definition, FrozenSet<int>.Empty, longestLibraryRun).Encode(text, isTextStart: true, ids);
        return ids;
    }

    [Fact]
    public void Encode_ByLibraryAndByLongWordMerger_AreEqual() => Gen.Select(Models, Texts).Sample((model, text) =>
        Encode(model, text, longestLibraryRun: 0).ShouldBe(Encode(model, text, longestLibraryRun: int.MaxValue)));

    [Fact]
    public void Encode_CutWhereNoMergeReaches_EqualsMergingTheWhole() => Gen.Select(Models, Texts).Sample((model, text) =>
    {
        string known = text.Replace("x", "", StringComparison.Ordinal);
        var whole = new List<int>();
        if (known.Length > 0)
            new LongWordMerger(model.Vocabulary, model.Merges).Encode(known, whole);
        Encode(model, known, BpeModel.DefaultLongestLibraryRun).ShouldBe(whole);
    });

    [Theory]
    [InlineData('a')]
    [InlineData(' ')]
    public void Encode_VeryLongWord_IsMergedThroughout(char letter)
    {
        string token = letter.ToString();
        var definition = Definition([token, token + token, token + token + token + token], [(token, token), (token + token, token + token)]);

        Encode(definition, new string(letter, 100_003), BpeModel.DefaultLongestLibraryRun)
            .ShouldBe([.. Enumerable.Repeat(2, 25_000), 1, 0]);
    }

    [Fact]
    public void Encode_MergeListedTwice_TheLaterPlaceCounts()
    {
        var definition = Definition(["a", "b", "c", "ab", "bc"], [("a", "b"), ("b", "c"), ("a", "b")]);

        Encode(definition, "abc", 512).ShouldBe([0, 4]);
    }
}
