using Agents.Options;
using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.Samples;

public sealed class CommandLineTests
{
    [Fact]
    public void Parse_NoArguments_PlaysTheShippedModel() => CommandLine.Parse([]).ShouldBe(new SampleOptions());

    [Fact]
    public void Parse_AllOptions_AreTaken() =>
        CommandLine.Parse(["--model", "/m", "--kv=dense", "--device", "cuda:1", "--turns=7", "--seed", "3", "--max-tokens", "9", "--json", "--no-color"])
            .ShouldBe(new SampleOptions
            {
                ModelPath = "/m",
                Kv = KvCacheKind.Dense,
                Device = "cuda:1",
                Turns = 7,
                Seed = 3,
                MaxTokens = 9,
                Json = true,
                NoColor = true,
            });

    [Theory]
    [InlineData("--help")]
    [InlineData("-h")]
    public void Parse_Help_IsTaken(string argument) => CommandLine.Parse([argument]).Help.ShouldBeTrue();

    [Theory]
    [InlineData("--turns", "--turns needs a value")]
    [InlineData("--turns --json", "--turns needs a value")]
    [InlineData("--turns 0", "'0'")]
    [InlineData("--turns -4", "'-4'")]
    [InlineData("--turns 1.5", "'1.5'")]
    [InlineData("--turns 99999999999", "'99999999999'")]
    [InlineData("--seed x", "--seed is 'x'")]
    [InlineData("--kv paged", "logquant or dense")]
    [InlineData("--device gpu", "cpu, cuda, cuda:N or auto")]
    [InlineData("--device cuda:x", "cpu, cuda, cuda:N or auto")]
    [InlineData("--model=", "--model is empty")]
    [InlineData("--json=yes", "--json takes no value")]
    [InlineData("--json --json", "--json is given twice")]
    [InlineData("--turn 5", "did you mean --turns?")]
    [InlineData("--verbose", "unknown option '--verbose'")]
    [InlineData("model", "'model' is no option")]
    [InlineData("--chat --turns 5", "leave it out with --chat")]
    public void Parse_Wrong_SaysWhatInOneLine(string arguments, string expected)
    {
        string message = Should.Throw<CommandLineException>(() => CommandLine.Parse(arguments.Split(' '))).Message;

        message.ShouldContain(expected);
        message.ShouldNotContain("\n");
    }

    [Fact]
    public void Help_NamesEveryOptionAndExitCode()
    {
        string[] options = ["--chat", "--model", "--kv", "--device", "--turns", "--seed", "--max-tokens", "--json", "--no-color", "--help"];
        foreach (string name in options)
            CommandLine.Help.ShouldContain($"  {name} ");
        foreach (int code in new[] { ExitCode.Done, ExitCode.Failed, ExitCode.BadArguments, ExitCode.Cancelled })
            CommandLine.Help.ShouldContain($"{code} ");
    }
}
