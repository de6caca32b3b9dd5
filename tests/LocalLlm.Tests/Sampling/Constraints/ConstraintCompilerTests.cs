using LocalLlm.Sampling.Constraints;

namespace LocalLlm.Tests.Sampling.Constraints;

public class ConstraintCompilerTests
{
    [Theory]
    [InlineData("a^b")]
    [InlineData(@"[^\s\S]")]
    [InlineData(@"x[^\s\S]y|$z")]
    public void Compile_PatternThatMatchesNothing_IsRefused(string pattern) =>
        Should.Throw<ConstraintException>(() => new ConstraintCompiler().Compile(OutputConstraint.Regex(pattern))).Message.ShouldContain("it matches no text at all");

    [Fact]
    public void Compile_ChoiceOfHalfASurrogatePair_IsRefused()
    {
        foreach (var text in new[] { "a\ud83d", "\ude00b" })
            Should.Throw<ConstraintException>(() => new ConstraintCompiler().Compile(OutputConstraint.Choice("a", text))).Message.ShouldContain("surrogate");
        new ConstraintCompiler().Compile(OutputConstraint.Choice("a", "\ud83d\ude00")).ShouldNotBeNull();
    }
}
