using System.Text.Json;
using Agents.Conversation;
using Agents.Display;
using Agents.Options;
using Agents.Scenes;
using Agents.Scoring;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;

namespace SK.Connectors.LogQuant.Tests.Samples;

public sealed class ScriptedSceneTests
{
    [Fact]
    public async Task Run_PerfectModel_EverythingIsRight()
    {
        Played played = await PlayAsync(new() { Turns = 80 });

        played.End.ShouldBe(ConversationEnd.Complete);
        played.Board.Turns.ShouldBe(80);
        played.Board.RecallAsked.ShouldBe(played.Script.Where(t => t.Kind == TurnKind.Recall).Sum(t => t.Facts.Count));
        played.Board.RecallAsked.ShouldBeGreaterThan(0);
        played.Board.RecallRight.ShouldBe(played.Board.RecallAsked);
        played.Board.CallsExpected.ShouldBe(played.Script.Sum(t => t.Calls.Count));
        played.Board.CallsExpected.ShouldBeGreaterThan(0);
        played.Board.CallsRight.ShouldBe(played.Board.CallsExpected);
        played.Board.CallsWrong.ShouldBe(0);
        played.Board.RefusalsRight.ShouldBe(played.Board.RefusalsAsked);
        played.Board.Bands.Sum(b => b.Asked).ShouldBe(played.Board.RecallAsked);
    }

    [Fact]
    public async Task Run_PerfectModel_SeesToolResultsAsTheScriptHasThem()
    {
        Played played = await PlayAsync(new() { Turns = 80 });

        string[] seen = [.. played.Engine.Requests[^1].Turns.Where(t => t.Role == ChatRole.Tool).Select(t => t.Content)];
        seen.ShouldBe(played.Script.SelectMany(t => t.Calls).Select(c => c.Result));
    }

    [Fact]
    public async Task Run_EveryTurn_SendsTheWholeConversation()
    {
        Played played = await PlayAsync(new() { Turns = 20 });

        IReadOnlyList<ChatTurn> last = played.Engine.Requests[^1].Turns;
        last[0].ShouldBe(new ChatTurn(ChatRole.System, DemoTools.SystemPrompt));
        last.Where(t => t.Role == ChatRole.User).Select(t => t.Content).ShouldBe(played.Script.Select(t => t.UserText));
        last.Where(t => t.Role == ChatRole.Assistant && t.ToolCalls.Count == 0).Select(t => t.Content)
            .ShouldBe(played.Script.SkipLast(1).Select(t => t.Answer));
    }

    [Fact]
    public async Task Run_ToolsOffered_AreThoseOfTheDemoModel()
    {
        Played played = await PlayAsync(new() { Turns = 1 });

        IReadOnlyList<ToolDefinition> tools = played.Engine.Requests[0].Tools;
        tools.Select(t => (t.Name, t.Description)).ShouldBe(DemoTools.Workshop.Select(t => (t.Name, t.Description)));
        tools.Select(t => Parameters(t.Parameters)).ShouldBe(DemoTools.Workshop.Select(t => Parameters(t.Schema)));

        static string Parameters(JsonElement schema) =>
            string.Join(", ", schema.GetProperty("properties").EnumerateObject().Select(p => $"{p.Name}: {p.Value.GetProperty("type").GetString()}"));
    }

    [Fact]
    public async Task Run_ForgetfulModel_RecallIsWrong()
    {
        Played played = await PlayAsync(new() { Turns = 60 }, t => t.Kind == TurnKind.Recall ? t with { Answer = "I forgot." } : t);

        played.Board.RecallRight.ShouldBe(0);
        played.Board.RecallAsked.ShouldBeGreaterThan(0);
        played.Output.ShouldContain($"expected {played.Script.First(t => t.Kind == TurnKind.Recall).Facts[0].Value}");
    }

    [Fact]
    public async Task Run_WrongArguments_CallIsWrong()
    {
        Played played = await PlayAsync(new() { Turns = 60 }, t => t with
        {
            Rounds = Each(t, c => c.Name.StartsWith("Stock-", StringComparison.Ordinal) ? c with { ArgumentsJson = """{"item": "something else"}""" } : c),
        });

        int changed = played.Script.Sum(t => t.Calls.Count(c => c.Name.StartsWith("Stock-", StringComparison.Ordinal)));
        changed.ShouldBeGreaterThan(0);
        played.Board.CallsWrong.ShouldBe(changed);
        played.Board.CallsRight.ShouldBe(played.Board.CallsExpected - changed);
    }

    [Fact]
    public async Task Run_UnknownTool_CountsAsAWrongCall()
    {
        Played played = await PlayAsync(new() { Turns = 60 }, t => t with { Rounds = Each(t, c => c with { Name = "Stock-burn" }) });

        played.Board.CallsRight.ShouldBe(0);
        played.Board.Calls.ShouldBe(played.Board.CallsExpected);
        played.Board.CallsWrong.ShouldBe(played.Board.CallsExpected);
    }

    private static IReadOnlyList<IReadOnlyList<ScriptedCall>> Each(ScriptedTurn turn, Func<ScriptedCall, ScriptedCall> change) =>
        [.. turn.Rounds.Select(r => r.Select(change).ToArray())];

    [Fact]
    public async Task Run_ContextFull_EndsWithAMessageAndDropsNothing()
    {
        Played played = await PlayAsync(new() { Turns = 500 }, contextTokens: 800);

        played.End.ShouldBe(ConversationEnd.ContextFull);
        played.Board.Turns.ShouldBeInRange(2, 499);
        played.Output.ShouldContain($"ends after {played.Board.Turns} of 500 turns");
        // The request that was refused still held everything.
        played.Engine.Requests[^1].Turns.Where(t => t.Role == ChatRole.User).Select(t => t.Content)
            .ShouldBe(played.Script.Take(played.Board.Turns + 1).Select(t => t.UserText));
    }

    [Fact]
    public async Task Run_PlainText_HasNoControlCharacters()
    {
        Played played = await PlayAsync(new() { Turns = 12 }, t => t with { Answer = t.Answer + " \u001b[2J\u0007" });

        played.Output.Where(char.IsControl).Distinct().ShouldBe(['\n']);
    }

    [Fact]
    public async Task ResultJson_Always_IsOneLineWithTheFigures()
    {
        var options = new SampleOptions { Turns = 30 };
        Played played = await PlayAsync(options);

        string line = ResultJson.Write(options, played.Engine.Model, played.Board, played.End, TimeSpan.FromSeconds(1));

        line.ShouldNotContain("\n");
        JsonElement result = JsonDocument.Parse(line).RootElement;
        result.GetProperty("turns").GetInt32().ShouldBe(30);
        result.GetProperty("tool_calls").GetInt32().ShouldBe(played.Board.Calls);
        result.GetProperty("recall_asked").GetInt32().ShouldBe(played.Board.RecallAsked);
        result.GetProperty("recall_right").GetInt32().ShouldBe(played.Board.RecallRight);
        result.GetProperty("context_tokens").GetInt32().ShouldBe(played.Board.Usage.ContextTokens);
        result.GetProperty("kv_bytes").GetInt64().ShouldBe(played.Board.Usage.KvBytes);
        result.GetProperty("kv_bytes_fp16").GetInt64().ShouldBe(played.Board.Usage.KvBytesFp16);
        result.GetProperty("cached_prompt_tokens").GetInt64().ShouldBe(played.Board.Usage.CachedPromptTokens);
        result.GetProperty("prompt_tokens").GetInt64().ShouldBe(played.Board.Usage.PromptTokens);
        result.GetProperty("decode_tokens_per_second").GetDouble().ShouldBe(100, 0.01);
        result.GetProperty("ended").GetString().ShouldBe("complete");
    }

    [Fact]
    public void Script_AnySeed_AsksEachFactOnceAfterItWasTold()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var told = new HashSet<Fact>();
            foreach (ScriptedTurn turn in WorkshopScript.Of(seed, 60))
            {
                foreach (Fact fact in turn.Facts)
                    (turn.Kind == TurnKind.Tell ? told.Add(fact) : told.Remove(fact)).ShouldBeTrue();
            }
        }
    }

    private static async Task<Played> PlayAsync(SampleOptions options, Func<ScriptedTurn, ScriptedTurn>? change = null, int contextTokens = 100_000)
    {
        IReadOnlyList<ScriptedTurn> script = WorkshopScript.Of(options.Seed, options.Turns!.Value);
        var engine = new OracleEngine(script, contextTokens) { Change = change ?? (turn => turn) };
        var scene = new ScriptedScene(options);
        var output = new StringWriter { NewLine = "\n" };
        (Scoreboard board, ConversationEnd end) = await PlayAsync(scene, engine, output);
        return new(script, engine, board, end, output.ToString());
    }

    internal static async Task<Scoreboard> PlayAsync(ScriptedScene scene, ILlmEngine engine) =>
        (await PlayAsync(scene, engine, TextWriter.Null)).Board;

    private static async Task<(Scoreboard Board, ConversationEnd End)> PlayAsync(ScriptedScene scene, ILlmEngine engine, TextWriter output)
    {
        await using AgentSession session = await AgentSession.LoadAsync(
            builder => builder.AddLogQuantEngine(_ => engine).AddLogQuantChatCompletion(services => services.GetRequiredService<ILlmEngine>()),
            new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() },
            scene.SystemPrompt,
            TestContext.Current.CancellationToken);
        using var interrupt = new Interrupt(() => { });
        var board = new Scoreboard();
        Terminal terminal = Terminal.Plain(output);
        ConversationEnd end = await scene.RunAsync(session, board, terminal, interrupt);
        Summary.Write(terminal, session.Model, board);
        return (board, end);
    }

    private sealed record Played(IReadOnlyList<ScriptedTurn> Script, OracleEngine Engine, Scoreboard Board, ConversationEnd End, string Output);
}
