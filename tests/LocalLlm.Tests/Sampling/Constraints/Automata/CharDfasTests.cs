using CsCheck;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Automata;

/// <summary>Operations on automata against sets of short texts.</summary>
public class CharDfasTests
{
    private static readonly string[] Short =
        [.. Enumerable.Range(0, 5).SelectMany(n => Enumerable.Range(0, 1 << n).Select(bits => TextOf(bits, n)))];

    private static readonly Gen<CharDfa> Languages = Gen.OneOf(
        Gen.OneOf(Short).Array[0, 6].Select(t => CharDfas.FromStrings(t)),
        Gen.OneOf("a*", "(ab)*", "a*b", "(a|b)*a", ".{0,2}", "b{1,3}|a").Select(p => RegexCompiler.Compile(p, anchored: true)));

    [Fact]
    public void Operations_RandomLanguages_AreThoseOfSets() =>
        Gen.Select(Languages, Languages).Sample((a, b) =>
        {
            foreach (var text in Short)
            {
                var (inA, inB) = (CharDfas.Matches(a, text), CharDfas.Matches(b, text));
                CharDfas.Matches(CharDfas.Union(a, b), text).ShouldBe(inA || inB);
                CharDfas.Matches(CharDfas.Intersect(a, b), text).ShouldBe(inA && inB);
                CharDfas.Matches(CharDfas.Difference(a, b), text).ShouldBe(inA && !inB);
                CharDfas.Matches(CharDfas.Complement(a), text).ShouldBe(!inA);
                CharDfas.Matches(CharDfas.Concat(a, b), text)
                    .ShouldBe(Enumerable.Range(0, text.Length + 1).Any(i => CharDfas.Matches(a, text[..i]) && CharDfas.Matches(b, text[i..])));
            }

            IsTrim(CharDfas.Intersect(a, b)).ShouldBeTrue();
            IsTrim(CharDfas.Difference(a, b)).ShouldBeTrue();
        }, iter: 500);

    [Fact]
    public void Minimize_EqualLanguages_HaveAsManyStates()
    {
        var (fewer, more) = (RegexCompiler.Compile("a{0,2000}", anchored: true), RegexCompiler.Compile("a{0,3000}", anchored: true));
        var any = RegexCompiler.Compile("a", anchored: false);
        RegexCompiler.Compile("(a|b)*abb", anchored: true).StateCount.ShouldBe(4);
        CharDfas.Union(more, fewer).StateCount.ShouldBe(3001);
        CharDfas.IsUniversal(CharDfas.Union(any, CharDfas.Complement(any))).ShouldBeTrue();
    }

    [Fact]
    public void OfLength_Surrogates_CountsScalarValues()
    {
        var two = CharDfas.OfLength(2, 2);
        CharDfas.Matches(two, "😀é").ShouldBeTrue();
        CharDfas.Matches(two, "😀").ShouldBeFalse();
        Should.Throw<ConstraintException>(() => CharDfas.OfLength(0, 60_000)).Message.ShouldContain("50,000");
    }

    [Theory]
    [InlineData("a|b|cd", 3)]
    [InlineData("[a-z]{2}", 100)]
    [InlineData("a*", 100)]
    [InlineData("a{0,9}", 10)]
    public void Count_Language_IsThatUpToTheLimit(string pattern, int expected) =>
        CharDfas.Count(RegexCompiler.Compile(pattern, anchored: true), 100).ShouldBe(expected);

    private static string TextOf(int bits, int length) => string.Concat(Enumerable.Range(0, length).Select(i => "ab"[(bits >> i) & 1]));

    private static bool IsTrim(CharDfa dfa) => Enumerable.Range(0, dfa.StateCount).All(s =>
    {
        var (seen, open) = (new HashSet<int> { s }, new Queue<int>([s]));
        while (open.TryDequeue(out var state))
        {
            if (dfa.IsAccepting(state))
                return true;
            foreach (var edge in dfa.Edges(state))
            {
                if (seen.Add(edge.Target))
                    open.Enqueue(edge.Target);
            }
        }

        return false;
    });
}
