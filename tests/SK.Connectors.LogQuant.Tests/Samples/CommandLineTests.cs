using Agents.Options;
using Agents.Scenes;
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

    [Fact]
    public void Parse_Scene_IsTaken()
    {
        CommandLine.Parse(["--scene", "host", "--port", "8080"]).ShouldBe(new SampleOptions { Scene = "host", Port = 8080 });
        CommandLine.Parse(["--scene", "chat"]).IsChat.ShouldBeTrue();
        CommandLine.Parse(["--chat"]).SceneName.ShouldBe("chat");
        CommandLine.Parse([]).SceneName.ShouldBe("conversation");
    }

    [Fact]
    public void Create_EveryScene_IsThere()
    {
        Type[] scenes = [.. SceneNames.All.Select(s => SceneCatalog.Create(new SampleOptions { Scene = s.Name }).GetType())];

        scenes.Count(s => s == typeof(ConversationScene)).ShouldBe(3);
        scenes.Distinct().Count().ShouldBe(5);
    }

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
    [InlineData("--scene pair --turns 5", "leave it out with --scene pair")]
    [InlineData("--scene pair --chat", "leave one out")]
    [InlineData("--scene nonsense", "--scene is 'nonsense'")]
    [InlineData("--port 80", "--port belongs to --scene host")]
    [InlineData("--scene host --port 65536", "from 0 to 65535")]
    public void Parse_Wrong_SaysWhatInOneLine(string arguments, string expected)
    {
        string message = Should.Throw<CommandLineException>(() => CommandLine.Parse(arguments.Split(' '))).Message;

        message.ShouldContain(expected);
        message.ShouldNotContain("\n");
    }

    [Fact]
    public void Help_NamesEveryOptionAndExitCode()
    {
        string[] options = ["--scene", "--port", "--chat", "--model", "--kv", "--device", "--turns", "--seed", "--max-tokens", "--json", "--no-color", "--help"];
        foreach (string name in options)
            CommandLine.Help.ShouldContain($"  {name} ");
        foreach (int code in new[] { ExitCode.Done, ExitCode.Failed, ExitCode.BadArguments, ExitCode.Cancelled })
            CommandLine.Help.ShouldContain($"{code} ");
    }
}
