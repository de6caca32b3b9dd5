using System.Text;
using LocalLlm.Sampling.Constraints;
using static LocalLlm.Tests.Sampling.Constraints.ConstrainedText;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>What is kept between tokens and requests.</summary>
public class ConstraintCacheTests
{
    [Fact]
    public void Mask_MoreStatesThanTheCacheHolds_StaysBoundedAndExact()
    {
        var (grammar, vocabulary) = NestedArrays();
        var text = "[" + string.Concat(Enumerable.Range(0, 12_000).Select(i => i % 7 == 0 ? "[[1]," : "[1,")) + "1";
        var (constraint, other) = (grammar.Start(), grammar.Start());
        var largest = 0L;
        other.Accept('[');
        foreach (var value in Encoding.ASCII.GetBytes(text))
        {
            Allowed(constraint, vocabulary).ShouldContain(value);
            constraint.Accept(value);
            largest = Math.Max(largest, grammar.CachedBytes);
        }

        largest.ShouldBeGreaterThan(15 << 20);
        largest.ShouldBeLessThan(17 << 20);
        // One that has waited meanwhile goes on from where it was.
        Allowed(other, vocabulary).ShouldBe([.. " \t\n\r1[]"u8.ToArray().Select(b => (int)b).Order()]);
        other.Accept(']');
        other.MayEnd.ShouldBeTrue();
        for (var open = text.Count(c => c == '[') - text.Count(c => c == ']'); open > 0; open--)
            constraint.Accept(']');
        constraint.MayEnd.ShouldBeTrue();
    }

    [Fact]
    public void Mask_ManyThreads_AgreeWithOneAlone()
    {
        var vocabulary = Vocabulary("{\"", "\":", "\",", "ab", "{}", "[1", "true");
        var grammar = CompiledGrammar.Create(JsonGrammar.Object, vocabulary);
        string Write(CompiledGrammar from, int seed)
        {
            var (random, constraint, all) = (new Random(seed), from.Start(), new StringBuilder());
            for (var i = 0; i < 60 && !constraint.MayEnd; i++)
            {
                var allowed = Allowed(constraint, vocabulary);
                var id = allowed[random.Next(allowed.Length)];
                all.AppendJoin(',', allowed).Append(':').Append(id).AppendLine();
                constraint.Accept(id);
            }

            return all.ToString();
        }

        var together = Enumerable.Range(0, 64).AsParallel().AsOrdered().WithDegreeOfParallelism(8).Select(seed => Write(grammar, seed)).ToList();

        for (var seed = 0; seed < 64; seed++)
            together[seed].ShouldBe(Write(CompiledGrammar.Create(JsonGrammar.Object, vocabulary), seed));
    }

    [Fact]
    public void Compile_SameConstraint_IsCompiledOnceWhileItIsUsed()
    {
        var compiler = new ConstraintCompiler(Vocabulary());
        var first = compiler.Compile(OutputConstraint.Choice("a", "b"));

        compiler.Compile(OutputConstraint.Choice("a", "b")).ShouldBeSameAs(first);
        compiler.Compile(OutputConstraint.Choice("a,b")).ShouldNotBeSameAs(first);
        for (var i = 0; i < ConstraintCompiler.Capacity - 1; i++)
        {
            compiler.Compile(OutputConstraint.Choice($"{i}"));
            compiler.Compile(OutputConstraint.Choice("a", "b")).ShouldBeSameAs(first);
        }

        for (var i = 0; i < ConstraintCompiler.Capacity; i++)
            compiler.Compile(OutputConstraint.Choice($"{i} more"));
        compiler.Compile(OutputConstraint.Choice("a", "b")).ShouldNotBeSameAs(first);
    }

    [Fact]
    public void Compile_ManyThreads_GetOneGrammar()
    {
        var compiler = new ConstraintCompiler(Vocabulary());

        Enumerable.Range(0, 32).AsParallel().WithDegreeOfParallelism(8).Select(_ => compiler.Compile(OutputConstraint.JsonObject)).Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public void Compile_Failure_IsNotKept()
    {
        var compiler = new ConstraintCompiler(Vocabulary());

        Should.Throw<ConstraintException>(() => compiler.Compile(OutputConstraint.Choice())).Message.ShouldContain("no texts");
        Should.Throw<InvalidTimeZoneException>(() => compiler.Compile("key", () => throw new InvalidTimeZoneException()));
        compiler.Compile("key", () => GrammarNode.Literal("a")).ShouldNotBeNull();
    }

    private static (CompiledGrammar Grammar, ConstraintVocabulary Vocabulary) NestedArrays()
    {
        var value = new ReferenceNode();
        value.Target = GrammarNode.Choice(new JsonArrayNode([], value, 0, null), GrammarNode.Literal("1"));
        var vocabulary = Vocabulary();
        return (CompiledGrammar.Create(value, vocabulary), vocabulary);
    }
}
