using System.Text.Json;
using Agents.Options;
using static SK.Connectors.LogQuant.Tests.Samples.AgentsProcess;

namespace SK.Connectors.LogQuant.Tests.Samples;

/// <summary>Runs the sample as a process of its own, as its user does.</summary>
public sealed class AgentsProgramTests
{
    [Fact]
    public async Task Run_SceneList_DescribesEveryScene()
    {
        Ended ended = await RunAsync("", "--scene", "list");

        ended.ExitCode.ShouldBe(ExitCode.Done);
        ended.Output.TrimEnd().Split('\n').Select(l => l.Trim().Split(' ')[0]).ShouldBe(SceneNames.All.Select(s => s.Name));
    }

    [Theory]
    [InlineData("assistant", "tool_calls_right", 10)]
    [InlineData("pair", "answers_right", 8)]
    [InlineData("resume", "facts_remembered", 3)]
    [InlineData("extract", "parsed", 4)]
    public async Task Run_Scene_EndsWithItsFigures(string scene, string figure, int expected)
    {
        RequireModel();

        Ended ended = await RunAsync("", "--scene", scene, "--json");

        ended.Error.ShouldBeEmpty();
        ended.ExitCode.ShouldBe(ExitCode.Done);
        ended.Output.ShouldNotContain("\u001b");
        ended.Json.GetProperty("scene").GetString().ShouldBe(scene);
        ended.Json.GetProperty("ended").GetString().ShouldBe("complete");
        ended.Json.GetProperty(figure).GetInt32().ShouldBe(expected);
        ended.Json.GetProperty("cached_prompt_tokens").GetInt64().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Run_Resume_TheSecondModelGoesOnFromTheSavedCache()
    {
        RequireModel();

        Ended ended = await RunAsync("", "--scene", "resume", "--json");

        int saved = ended.Json.GetProperty("saved_tokens").GetInt32();
        saved.ShouldBeGreaterThan(0);
        ended.Json.GetProperty("restored_tokens").GetInt32().ShouldBe(saved);
    }

    private static readonly string[] Figures =
    [
        "turns", "tool_calls", "recall_asked", "recall_right", "context_tokens", "kv_bytes", "kv_bytes_fp16", "cached_prompt_tokens",
        "prompt_tokens", "decode_tokens_per_second",
    ];

    [Fact]
    public async Task Run_Help_ListsTheOptions()
    {
        Ended ended = await RunAsync("", "--help");

        ended.ExitCode.ShouldBe(ExitCode.Done);
        ended.Output.ShouldContain("--turns N");
        ended.Error.ShouldBeEmpty();
    }

    [Fact]
    public async Task Run_BadArguments_SaysSoInOneLine()
    {
        Ended ended = await RunAsync("", "--turns", "many");

        ended.ExitCode.ShouldBe(ExitCode.BadArguments);
        ended.Output.ShouldBeEmpty();
        ended.Error.TrimEnd().ShouldContain("--turns is 'many'");
        ended.Error.TrimEnd().ShouldNotContain('\n');
    }

    [Fact]
    public async Task Run_MissingModel_NamesTheFolder()
    {
        Ended ended = await RunAsync("", "--model", "/no/such/model");

        ended.ExitCode.ShouldBe(ExitCode.Failed);
        ended.Error.ShouldContain("/no/such/model");
        ended.Error.ShouldNotContain("   at ");
    }

    [Theory]
    [InlineData("logquant")]
    [InlineData("dense")]
    public async Task Run_SixTurns_EndsWithTheFigures(string kv)
    {
        RequireModel();

        Ended ended = await RunAsync("", "--turns", "6", "--kv", kv, "--json");

        ended.Error.ShouldBeEmpty();
        ended.ExitCode.ShouldBe(ExitCode.Done);
        ended.Output.ShouldNotContain("\u001b");
        JsonElement result = JsonDocument.Parse(ended.Output.TrimEnd().Split('\n')[^1]).RootElement;
        foreach (string figure in Figures)
            result.GetProperty(figure).ValueKind.ShouldBe(JsonValueKind.Number, figure);
        result.GetProperty("turns").GetInt32().ShouldBe(6);
        result.GetProperty("kv").GetString().ShouldBe(kv);
        result.GetProperty("prompt_tokens").GetInt64().ShouldBeGreaterThan(result.GetProperty("context_tokens").GetInt64());
        result.GetProperty("cached_prompt_tokens").GetInt64().ShouldBeGreaterThan(0);
        result.GetProperty("kv_bytes").GetInt64().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Run_Chat_AnswersUntilInputEnds()
    {
        RequireModel();

        Ended ended = await RunAsync("Hello!\n/stats\n/reset\n/nonsense\nThe gate code for Mirvelo is falcon-417.\n", "--chat", "--json");

        ended.Error.ShouldBeEmpty();
        ended.ExitCode.ShouldBe(ExitCode.Done);
        ended.Output.ShouldContain("There is no command /nonsense");
        JsonDocument.Parse(ended.Output.TrimEnd().Split('\n')[^1]).RootElement.GetProperty("turns").GetInt32().ShouldBe(2);
    }
}
