using LocalLlm.Evaluation;

namespace LocalLlm.Tests.Evaluation;

public class ArgumentsTests
{
    [Fact]
    public void Options_InAnyOrder_AreRead()
    {
        var arguments = new Arguments(["kl", "--tokens", "64,128", "--quick", "--methods", "ours, kivi", "--json"]);

        arguments.Command.ShouldBe("kl");
        arguments.Size.ShouldBe(RunSize.Quick);
        arguments.Json.ShouldBeTrue();
        arguments.Numbers("tokens", [1]).ShouldBe([64, 128]);
        arguments.List("methods").ShouldBe(["ours", "kivi"]);
        arguments.Number("seeds", 7).ShouldBe(7);
        arguments.RequireNothingLeft();
    }

    [Theory]
    [InlineData("What is 'x'?", "kl", "x")]
    [InlineData("--json takes no value, got 'x'", "kl", "--json", "x")]
    [InlineData("exclude", "kl", "--quick", "--full")]
    [InlineData("twice", "kl", "--quick", "--quick")]
    [InlineData("--threads takes whole numbers from 1 to 1024, separated by commas; got '0'", "kl", "--threads", "0")]
    [InlineData("--threads takes one number", "kl", "--threads", "1,2")]
    [InlineData("--threads needs a value", "kl", "--threads")]
    public void Options_Wrong_SayWhat(string message, params string[] args) =>
        Should.Throw<ArgumentException>(() => new Arguments(args)).Message.ShouldContain(message);

    [Fact]
    public void RequireNothingLeft_UnknownOption_NamesIt() =>
        Should.Throw<ArgumentException>(new Arguments(["kl", "--tokns", "5"]).RequireNothingLeft)
            .Message.ShouldBe("kl has no option --tokns.");
}
