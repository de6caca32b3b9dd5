using LocalLlm;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using Shouldly;
using Xunit;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests.Agents;

/// <summary>A Microsoft.Agents.AI agent over the chat client.</summary>
public sealed class AgentTests
{
    private static ChatClientAgent Agent(ScriptedEngine engine, List<string>? calls = null) => new LogQuantChatClient(engine).AsAIAgent(
        instructions: "Be brief.", name: "Bo", tools: [AIFunctionFactory.Create((string city) =>
        {
            calls?.Add(city);
            return $"noon in {city}";
        }, "time")]);

    [Fact]
    public async Task Run_WithTools_CallsThemAndAnswers()
    {
        var calls = new List<string>();
        var engine = new ScriptedEngine(Script.Calls(("c1", "time", """{"city":"Rome"}"""), ("c2", "time", """{"city":"Oslo"}""")), Script.Text("It is noon."));

        var response = await Agent(engine, calls).RunAsync("What time is it?");

        response.Text.ShouldBe("It is noon.");
        calls.ShouldBe(["Rome", "Oslo"]);
        engine.Requests[0].Turns.Select(t => (t.Role, t.Content)).ShouldBe([(TurnRole.System, "Be brief."), (TurnRole.User, "What time is it?")]);
        var turns = engine.Requests[1].Turns;
        turns.Select(t => t.Role).ShouldBe([TurnRole.System, TurnRole.User, TurnRole.Assistant, TurnRole.Tool, TurnRole.Tool]);
        turns[2].ToolCalls.Select(c => c.Id).ShouldBe(["c1", "c2"]);
        turns.Skip(3).Select(t => (t.ToolCallId, t.Content)).ShouldBe([("c1", "noon in Rome"), ("c2", "noon in Oslo")]);
    }

    [Fact]
    public async Task RunStreaming_WithTools_StreamsTheAnswer()
    {
        var calls = new List<string>();
        var engine = new ScriptedEngine(Script.Calls(("c1", "time", """{"city":"Rome"}""")), Script.Text("It ", "is ", "noon."));

        var updates = await Agent(engine, calls).RunStreamingAsync("What time is it?").ToListAsync();

        string.Concat(updates.Select(u => u.Text)).ShouldBe("It is noon.");
        calls.ShouldBe(["Rome"]);
    }

    [Fact]
    public async Task Run_TwoTurnsOfASession_SecondSendsTheWholeConversation()
    {
        var engine = new ScriptedEngine(
            Script.Calls(("c1", "time", """{"city":"Rome"}""")), Script.Text("Noon."), Script.Text("Rome."));
        var agent = Agent(engine);
        var session = await agent.CreateSessionAsync();

        await agent.RunAsync("What time is it in Rome?", session);
        await agent.RunAsync("Which city?", session);

        engine.Requests[2].Turns.Select(t => t.Role).ShouldBe([
            TurnRole.System, TurnRole.User, TurnRole.Assistant, TurnRole.Tool, TurnRole.Assistant, TurnRole.User]);
        engine.Requests[2].Turns[^2].Content.ShouldBe("Noon.");
    }

    [Fact]
    public async Task Run_RequiredTool_IsRequiredInTheFirstRoundOnly()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "time", """{"city":"Rome"}""")), Script.Text("Noon."));
        var options = new ChatClientAgentRunOptions(new ChatOptions { ToolMode = ChatToolMode.RequireAny });

        (await Agent(engine).RunAsync("What time is it?", options: options)).Text.ShouldBe("Noon.");
    }
}
