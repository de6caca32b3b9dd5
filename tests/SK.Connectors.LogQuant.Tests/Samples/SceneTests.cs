using Agents.Display;
using Agents.Options;
using Agents.Scenes;
using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.Samples;

/// <summary>The scenes over engines that answer by script.</summary>
public sealed class SceneTests
{
    [Fact]
    public async Task Pair_EitherAgent_SendsItsInstructionsAndTheCommonHistory()
    {
        var engine = new ScriptedEngine(
            Script.Text("Noted."),
            Script.Calls(("c1", "Stock-check", """{"item":"copper valve"}""")), Script.Text("There are 404 units of copper valve."),
            Script.Text("Noted."), Script.Text("Booked."), Script.Text("It is falcon-417."), Script.Text("A silver otter."),
            Script.Text("I forgot."), Script.Text("Nothing."));

        (SceneResult result, string output) = await PlayAsync(new PairScene(), engine);

        engine.Requests[0].Turns[0].Content.ShouldNotBe(engine.Requests[1].Turns[0].Content);
        engine.Requests[0].Tools.ShouldBeEmpty();
        engine.Requests[1].Tools.Count.ShouldBe(7);
        // The planner sees the clerk's call and its result.
        IReadOnlyList<ChatTurn> third = engine.Requests[3].Turns;
        third.Select(t => t.Role).ShouldBe([
            ChatRole.System, ChatRole.User, ChatRole.Assistant, ChatRole.User, ChatRole.Assistant, ChatRole.Tool, ChatRole.Assistant, ChatRole.User]);
        third[5].Content.ShouldContain("units of copper valve");
        // Each prompt continues the one before, but for the instructions.
        engine.Requests[^1].Turns.Skip(1).Take(third.Count - 1).Select(t => (t.Role, t.Content)).ShouldBe(third.Skip(1).Select(t => (t.Role, t.Content)));
        result.Figures["turns"]!.GetValue<int>().ShouldBe(8);
        // "Booked." lacks the appointment, and the last two are wrong.
        result.Figures["answers_right"]!.GetValue<int>().ShouldBe(5);
        result.Figures["tool_calls"]!.GetValue<int>().ShouldBe(1);
        output.ShouldContain("clerk   There are 404");
    }

    [Fact]
    public async Task Resume_SecondEngine_GetsTheConversationThatTheFirstHad()
    {
        var first = new ScriptedEngine(Script.Text("Noted."), Script.Text("Noted."), Script.Text("Noted."));
        var second = new ScriptedEngine(Script.Text("It is falcon-417."), Script.Text("I forgot."), Script.Text("It is maple-220.")) { Saved = first.Saved };

        (SceneResult result, string output) = await PlayAsync(new ResumeScene(), first, second);

        (string name, GenerationRequest saved) = first.Saved.ShouldHaveSingleItem();
        second.Restored.ShouldBe([name]);
        // What was saved is the beginning of what comes next.
        second.Requests[0].Turns.Take(saved.Turns.Count).Select(t => (t.Role, t.Content)).ShouldBe(saved.Turns.Select(t => (t.Role, t.Content)));
        saved.Turns[^1].Content.ShouldBe("Noted.");

        first.IsDisposed.ShouldBeTrue();
        second.IsDisposed.ShouldBeTrue();
        second.Requests[0].Turns.Where(t => t.Role == ChatRole.User).Select(t => t.Content).ShouldBe([.. ResumeScene.Told, ResumeScene.Asked[0].Question]);
        second.Requests[0].Turns.Where(t => t.Role == ChatRole.Assistant).Select(t => t.Content).ShouldBe(["Noted.", "Noted.", "Noted."]);
        result.Figures["facts_remembered"]!.GetValue<int>().ShouldBe(2);
        output.ShouldContain("2 of 3 facts remembered");
        Directory.Exists(Path.GetDirectoryName(output.Split("The session is in ")[1].Split(' ')[0])).ShouldBeFalse();
    }

    [Fact]
    public async Task Extract_Answers_AreRecordsAndJudged()
    {
        var engine = new ScriptedEngine(
            Script.Text("""{"item": "copper valve", "quantity": 25, "direction": "in"}"""),
            Script.Text("""{"item": "steel hinge", "quantity": 8, "direction": "out"}"""),
            [new TextDelta("""{"item": "rub"""), new GenerationCompleted(FinishReason.Length, Script.Usage)],
            Script.Text("""{"item": "brass nozzle", "quantity": 12, "direction": "out"}"""));

        (SceneResult result, string output) = await PlayAsync(new ExtractScene(), engine);

        var schema = engine.Requests[0].Constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema;
        schema.GetProperty("properties").GetProperty("item").GetProperty("enum").GetArrayLength().ShouldBe(4);
        schema.GetProperty("properties").GetProperty("direction").GetProperty("enum").EnumerateArray().Select(v => v.GetString()).ShouldBe(["in", "out"]);
        schema.GetProperty("properties").GetProperty("quantity").GetProperty("maximum").GetInt32().ShouldBe(999);
        result.Figures["texts"]!.GetValue<int>().ShouldBe(4);
        result.Figures["parsed"]!.GetValue<int>().ShouldBe(3);
        result.Figures["values_right"]!.GetValue<int>().ShouldBe(2);
        output.ShouldContain("reached the token limit");
    }

    [Fact]
    public async Task Assistant_Script_GivesTheResultsThatThePluginsGive()
    {
        var engine = new OracleEngine(AssistantScript.Turns);
        var scene = new ScriptedScene(AssistantScript.SystemPrompt, AssistantScript.Turns);

        var board = await ScriptedSceneTests.PlayAsync(scene, engine);

        board.Turns.ShouldBe(AssistantScript.Turns.Count);
        board.CallsRight.ShouldBe(board.CallsExpected);
        board.CallsWrong.ShouldBe(0);
        engine.Requests[^1].Turns.Where(t => t.Role == ChatRole.Tool).Select(t => t.Content)
            .ShouldBe(AssistantScript.Turns.SelectMany(t => t.Calls).Select(c => c.Result));
    }

    private static async Task<(SceneResult Result, string Output)> PlayAsync(IScene scene, params ScriptedEngine[] engines)
    {
        var left = new Queue<ScriptedEngine>(engines);
        var output = new StringWriter { NewLine = "\n" };
        using var interrupt = new Interrupt(() => { });
        SceneResult result = await scene.RunAsync(new(new SampleOptions(), Terminal.Plain(output), interrupt)
        {
            Loader = (_, _) => Task.FromResult<ILlmEngine>(left.Dequeue()),
        });
        return (result, output.ToString());
    }
}
