using Agents.Conversation;
using Agents.Scoring;
using DemoModel.Dialogues;

namespace SK.Connectors.LogQuant.Tests.Samples;

public sealed class ScoreboardTests
{
    private static readonly Fact Code = new("gate code", "Mirvelo", "falcon-417");

    [Theory]
    [InlineData("The gate code for Mirvelo is falcon-417.", true)]
    [InlineData("It is Falcon-417!", true)]
    [InlineData("The gate code for Mirvelo is falcon-411.", false)]
    [InlineData("", false)]
    public void Add_Recall_IsRightIfTheAnswerHoldsTheValue(string answer, bool isRight)
    {
        var board = new Scoreboard();
        board.Add(new(TurnKind.Tell, "", "") { Facts = [Code] }, Turn("Noted.", promptTokens: 200));
        board.Add(new(TurnKind.SmallTalk, "", ""), Turn("I see.", promptTokens: 300));

        TurnScore score = board.Add(new(TurnKind.Recall, "", "") { Facts = [Code] }, Turn(answer, promptTokens: 900));

        score.Recalls.ShouldBe([new RecallScore(Code, DistanceTokens: 700, DistanceTurns: 2, isRight)]);
        board.Bands.ShouldBe([new RecallBand(500, 1000, Asked: 1, Right: isRight ? 1 : 0)]);
    }

    [Theory]
    [InlineData("item", "pine lever", "5", 1, 0)]
    [InlineData("item", "pine lever", "6", 0, 1)]
    [InlineData("item", "oak lever", "5", 0, 1)]
    [InlineData("thing", "pine lever", "5", 0, 1)]
    public void Add_ToolTurn_IsRightIfNameAndArgumentsAreTheSame(string name, string item, string quantity, int right, int wrong)
    {
        var script = new ScriptedTurn(TurnKind.Tool, "", "")
        {
            Rounds = [[new("Stock-add", """{"item": "pine lever", "quantity": 5}""", "")]],
        };
        var board = new Scoreboard();

        TurnScore score = board.Add(script, Turn("Added.", 10, new ToolUse("1", "Stock-add", [new("quantity", quantity), new(name, item)], "")));

        (score.CallsExpected, score.CallsRight, score.CallsWrong).ShouldBe((1, right, wrong));
    }

    [Fact]
    public void Add_CallMadeTwice_SecondIsWrong()
    {
        var use = new ToolUse("1", "Calendar-list", [new("day", "Monday")], "nothing");
        var board = new Scoreboard();

        board.Add(new(TurnKind.Tool, "", "") { Rounds = [[new("Calendar-list", """{"day": "Monday"}""", "nothing")]] }, Turn("", 10, use, use));

        (board.Calls, board.CallsRight, board.CallsWrong).ShouldBe((2, 1, 1));
    }

    [Fact]
    public void Add_UnexpectedCall_IsWrong()
    {
        var board = new Scoreboard();

        board.Add(new(TurnKind.SmallTalk, "", ""), Turn("", 10, new ToolUse("1", "Calendar-list", [new("day", "Monday")], "nothing")));

        (board.CallsExpected, board.CallsWrong).ShouldBe((0, 1));
    }

    [Fact]
    public void Add_NeverTold_IsRightIfTheAnswerSaysSo()
    {
        var script = new ScriptedTurn(TurnKind.Unknown, "", "") { ExpectedRefusal = "never told" };
        var board = new Scoreboard();

        board.Add(script, Turn("That was never told to me.", 10)).IsRefusalRight.ShouldBe(true);
        board.Add(script, Turn("It is falcon-417.", 10)).IsRefusalRight.ShouldBe(false);

        (board.RefusalsAsked, board.RefusalsRight).ShouldBe((2, 1));
    }

    [Fact]
    public void Usage_SeveralRounds_AddsUp()
    {
        var usage = new UsageTotals();
        usage.Add(new() { PromptTokens = 100, CachedPromptTokens = 0, CompletionTokens = 11, DecodeTime = TimeSpan.FromSeconds(1), TimeToFirstToken = TimeSpan.FromMilliseconds(40), KvBytes = 10, KvBytesFp16 = 60 });
        usage.Add(new() { PromptTokens = 150, CachedPromptTokens = 110, CompletionTokens = 31, DecodeTime = TimeSpan.FromSeconds(1), TimeToFirstToken = TimeSpan.FromMilliseconds(20), KvBytes = 20, KvBytesFp16 = 140 });

        (usage.PromptTokens, usage.CachedPromptTokens, usage.CompletionTokens, usage.ContextTokens).ShouldBe((250, 110, 42, 181));
        (usage.KvBytes, usage.KvBytesFp16, usage.KvRatio).ShouldBe((20, 140, 7.0));
        usage.DecodeTokensPerSecond.ShouldBe(20, 1e-9);
        usage.MedianFirstTokenMilliseconds.ShouldBe(30, 1e-9);
    }

    private static AgentTurn Turn(string answer, int promptTokens, params ToolUse[] uses) =>
        new(answer, uses, [new RoundUsage { FinishReason = "stop", PromptTokens = promptTokens, CompletionTokens = 1 }]);
}
