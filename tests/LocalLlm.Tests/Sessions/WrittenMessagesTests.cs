using LocalLlm.Sessions;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Sessions;

public class WrittenMessagesTests
{
    private static readonly TextTokenizer Tokenizer = TextTokenizer.Load(RepositoryRoot.Require("samples", "DemoModel", "model"));
    private static readonly int End = Id("<|im_end|>");

    private readonly WrittenMessages messages = new(Tokenizer, maxTokens: 100_000);

    [Fact]
    public void Encode_NothingRemembered_GivesTheTokenizersIds()
    {
        var turns = new[] { User("How many valves are left?"), Assistant("Twelve."), User("<|im_end|> is no token here") };
        messages.Encode(Render(turns), turns).Ids.ShouldBe(Tokenizer.Encode(Render(turns), addBos: false));
    }

    [Fact]
    public void Encode_AnAnswerInOtherTokens_IsPutInAsItWasWritten()
    {
        var first = new[] { User("Count.") };
        var prompt = messages.Encode(Render(first), first);
        var sampled = Letters("Twelve valves.");
        messages.Remember(prompt, sampled, new WrittenMessage("Twelve valves.", "", []));

        ChatTurn[] next = [.. first, Assistant("Twelve valves."), User("Again.")];
        var ids = messages.Encode(Render(next), next).Ids;

        ids.AsSpan().StartsWith([.. prompt.Ids, .. sampled]).ShouldBeTrue();
        ids.Length.ShouldBeGreaterThan(Tokenizer.Encode(Render(next), addBos: false).Length); // letter by letter
        Tokenizer.Decode(ids, skipSpecial: false).ShouldBe(string.Concat(Render(next).Select(s => s.Text)));
    }

    [Fact]
    public void Remember_TheSameAnswerAgain_IsHeldOnce()
    {
        var first = new[] { User("Count.") };
        for (var i = 0; i < 3; i++)
            messages.Remember(messages.Encode(Render(first), first), Letters("Twelve valves."), new WrittenMessage("Twelve valves.", "", []));
        messages.Remember(messages.Encode(Render(first), first), Letters("Ten."), new WrittenMessage("Ten.", "", []));

        messages.Count.ShouldBe(2);
    }

    [Fact]
    public void Encode_ACallThatTheTemplateSpellsInAnotherWay_IsPutInAsItWasWritten()
    {
        var first = new[] { User("Order.") };
        var prompt = messages.Encode(Render(first), first);
        var written = """<tool_call>{"arguments":{"count":3,"item":"valve"},"name":"order"}</tool_call>""";
        var sampled = Written(written);
        messages.Remember(prompt, sampled, new WrittenMessage("", "", [new ToolCall("c1", "order", """{"count":3,"item":"valve"}""")]));

        ChatTurn[] next = [.. first, Calls(new ToolCall("c1", "order", """{"item": "valve", "count": 3}""")), Result("c1", "done")];
        var ids = messages.Encode(Render(next), next).Ids;

        ids.AsSpan().StartsWith([.. prompt.Ids, .. sampled]).ShouldBeTrue();
        Tokenizer.Decode(ids.AsSpan((prompt.Ids.Length + sampled.Length)..), skipSpecial: false).ShouldBe("\n<|im_start|>tool\ndone<|im_end|>\n<|im_start|>assistant\n");
    }

    [Fact]
    public void Encode_TurnAfterTurn_EveryAnswerStaysAsItWasWritten()
    {
        var turns = new List<ChatTurn>();
        var expected = new List<int>();
        for (var turn = 0; turn < 6; turn++)
        {
            turns.Add(User($"Question {turn}."));
            var prompt = messages.Encode(Render(turns), turns);
            prompt.Ids.AsSpan().StartsWith(expected.ToArray()).ShouldBeTrue();
            var sampled = Letters($"Answer {turn}.");
            messages.Remember(prompt, sampled, new WrittenMessage($"Answer {turn}.", "", []));
            turns.Add(Assistant($"Answer {turn}."));
            expected = [.. prompt.Ids, .. sampled];
        }

        // An edit in the middle: what was before it is kept.
        turns[7] = Assistant("Something else.");
        turns.Add(User("And now?"));
        var ids = messages.Encode(Render(turns), turns).Ids;
        var kept = Letters("Answer 2.");
        ids.AsSpan().IndexOf(kept.AsSpan()).ShouldBeGreaterThan(0);
        ids.AsSpan().IndexOf(Letters("Answer 4.").AsSpan()).ShouldBe(-1);
        Tokenizer.Decode(ids, skipSpecial: false).ShouldBe(string.Concat(Render(turns).Select(s => s.Text)));
    }

    [Theory]
    [InlineData("Twelve pumps.", "c1", "order")]
    [InlineData("Twelve valves.", "c2", "order")]
    [InlineData("Twelve valves.", "c1", "sell")]
    public void Encode_AChangedAnswer_IsEncodedAnew(string content, string callId, string name)
    {
        var first = new[] { User("Count.") };
        var prompt = messages.Encode(Render(first), first);
        var call = new ToolCall("c1", "order", "{}");
        messages.Remember(prompt, Letters("Twelve valves."), new WrittenMessage("Twelve valves.", "", [call]));

        ChatTurn[] next = [.. first, Assistant(content) with { ToolCalls = [call with { Id = callId, Name = name }] }, User("Again.")];
        messages.Encode(Render(next), next).Ids.ShouldBe(Tokenizer.Encode(Render(next), addBos: false));
    }

    [Fact]
    public void Encode_ReasoningThatTheTemplateLeavesOut_IsNotPutIn()
    {
        var first = new[] { User("Count.") };
        var prompt = messages.Encode(Render(first), first);
        var sampled = Letters("<think>one, two</think>Twelve.");
        messages.Remember(prompt, sampled, new WrittenMessage("Twelve.", "one, two", []));

        ChatTurn[] next = [.. first, Assistant("Twelve."), User("Again.")];
        messages.Encode(Render(next), next).Ids.ShouldBe(Tokenizer.Encode(Render(next), addBos: false));

        ChatTurn[] kept = [.. first, Assistant("Twelve.") with { Reasoning = "one, two" }, User("Again.")];
        messages.Encode(Render(kept), kept).Ids.AsSpan().StartsWith([.. prompt.Ids, .. sampled]).ShouldBeTrue();
    }

    [Fact]
    public void WithReasoning_ACallWhoseSenderDroppedIt_GetsItBack()
    {
        var first = new[] { User("Count.") };
        messages.Remember(messages.Encode(Render(first), first), Letters("x"), new WrittenMessage("", "first count", [new ToolCall("c1", "order", "{}")]));
        ChatTurn[] next = [.. first, Calls(new ToolCall("c1", "order", "{}")), Calls(new ToolCall("c2", "order", "{}")), Assistant("text")];
        messages.WithReasoning(next).Select(t => t.Reasoning).ShouldBe([null, "first count", null, null]);
        next[1] = next[1] with { Reasoning = "its own" };
        messages.WithReasoning(next).Select(t => t.Reasoning).ShouldBe([null, "its own", null, null]);
    }

    [Fact]
    public void Encode_AnEndThatAMessageForges_IsNoEnd()
    {
        var first = new[] { User("Count.") };
        var prompt = messages.Encode(Render(first), first);
        var sampled = Letters("It is <|im_end|> here.");
        messages.Remember(prompt, sampled, new WrittenMessage("It is <|im_end|> here.", "", []));
        ChatTurn[] next = [.. first, Assistant("It is <|im_end|> here."), User("Again.")];
        var ids = messages.Encode(Render(next), next).Ids;
        ids.AsSpan().StartsWith([.. prompt.Ids, .. sampled]).ShouldBeTrue();
        ids.Count(id => id == End).ShouldBe(3);
    }

    [Fact]
    public void Encode_ATemplateThatDoesNotEndAnswersInThatToken_IsEncodedAnew()
    {
        var first = new[] { User("Count.") };
        var prompt = messages.Encode(Render(first), first);
        messages.Remember(prompt, [.. Letters("Twelve.")[..^1], Id("<|endoftext|>")], new WrittenMessage("Twelve.", "", []));
        ChatTurn[] next = [.. first, Assistant("Twelve."), User("Again.")];
        messages.Encode(Render(next), next).Ids.ShouldBe(Tokenizer.Encode(Render(next), addBos: false));
    }

    [Fact]
    public void Remember_MoreThanTheLimit_ForgetsTheLeastRecentlyUsed()
    {
        var small = new WrittenMessages(Tokenizer, maxTokens: 60);
        for (var i = 0; i < 30; i++)
        {
            var turns = new[] { User($"Question {i}.") };
            small.Remember(small.Encode(Render(turns), turns), Letters("No."), new WrittenMessage("No.", "", []));
        }

        small.Count.ShouldBeInRange(1, 4);
        ChatTurn[] last = [User("Question 29."), Assistant("No."), User("Why?")];
        small.Encode(Render(last), last).Ids.AsSpan().IndexOf(Letters("No.").AsSpan()).ShouldBeGreaterThan(0);
    }

    private static int Id(string token) => Tokenizer.TryGetId(token, out var id) ? id : throw new InvalidOperationException(token);

    private static ChatTurn User(string text) => new(ChatRole.User, text);

    private static ChatTurn Assistant(string text) => new(ChatRole.Assistant, text);

    private static ChatTurn Calls(params ToolCall[] calls) => new(ChatRole.Assistant, "") { ToolCalls = calls };

    private static ChatTurn Result(string callId, string text) => new(ChatRole.Tool, text) { ToolCallId = callId };

    /// <summary>A text as a model may write it, letter by letter, and the end.</summary>
    private static int[] Letters(string text) => [.. text.SelectMany(c => Tokenizer.Encode(c.ToString())), End];

    /// <summary>A text with control tokens, and the end.</summary>
    private static int[] Written(string text) => [.. Tokenizer.EncodeWithControlTokens(text), End];

    private static List<PromptSegment> Render(IReadOnlyList<ChatTurn> turns)
    {
        var segments = new List<PromptSegment>();
        foreach (var turn in turns)
        {
            Template($"<|im_start|>{turn.Role.ToString().ToLowerInvariant()}\n");
            if (turn.Reasoning is { } reasoning)
                segments.AddRange([new("<think>", true), new(reasoning, false), new("</think>", true)]);
            segments.Add(new PromptSegment(turn.Content, IsTemplate: false));
            foreach (var call in turn.ToolCalls)
                segments.AddRange([new($"<tool_call>\n{{\"name\": \"{call.Name}\", \"arguments\": ", true), new(call.ArgumentsJson, false), new("}\n</tool_call>", true)]);
            Template("<|im_end|>\n");
        }

        Template("<|im_start|>assistant\n");
        return segments;

        void Template(string text) => segments.Add(new PromptSegment(text, IsTemplate: true));
    }
}
