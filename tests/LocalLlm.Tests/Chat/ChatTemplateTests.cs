using System.Text.Json;
using CsCheck;
using LocalLlm.Chat;
using LocalLlm.Tests.Chat.Jinja;

namespace LocalLlm.Tests.Chat;

public class ChatTemplateTests
{
    private const string ChatMl = """
        {{- bos_token }}
        {%- if tools %}{{- 'TOOLS' + tools|tojson + '\n' }}{% endif %}
        {%- for message in messages %}
            {{- '<|im_start|>' + message.role + '\n' }}
            {%- if message.reasoning_content %}{{- '<think>' + message.reasoning_content + '</think>' }}{% endif %}
            {{- message.content }}
            {%- for call in message.tool_calls or [] %}
                {{- '<tool_call>' + ({'name': call.function.name, 'arguments': call.function.arguments}|tojson) + '</tool_call>' }}
            {%- endfor %}
            {{- '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}
        {%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}{% endif %}
        """;

    private static readonly IReadOnlyDictionary<string, string> Tokens = new Dictionary<string, string> { ["bos_token"] = "<s>", ["eos_token"] = "</s>" };
    private static readonly IReadOnlyDictionary<string, JsonElement> NoVariables = new Dictionary<string, JsonElement>();

    private static readonly ChatTurn Call = new(ChatRole.Assistant, "") { ToolCalls = [new("c1", "get", """{"a": 1, "b": ["x"]}""")] };

    private static string Text(string template, IReadOnlyList<ChatTurn> turns, IReadOnlyList<ToolDefinition>? tools = null, string variables = "{}") =>
        JinjaRun.Join(Segments(template, turns, tools, variables));

    private static IReadOnlyList<PromptSegment> Segments(string template, IReadOnlyList<ChatTurn> turns, IReadOnlyList<ToolDefinition>? tools = null, string variables = "{}") =>
        new ChatTemplate(template, Tokens).Render(turns, tools ?? [], true, JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(variables)!, JinjaRun.Noon);

    [Fact]
    public void Render_Conversation_GivesThePrompt()
    {
        var turns = new ChatTurn[]
        {
            new(ChatRole.System, "Be brief."), new(ChatRole.User, "Hi"), Call with { Reasoning = "hm" },
            new(ChatRole.Tool, "42") { ToolCallId = "c1", Name = "get" }, new(ChatRole.Assistant, "Done."),
        };
        Text(ChatMl, turns).ShouldBe(
            "<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            + "<|im_start|>assistant\n<think>hm</think><tool_call>{\"name\": \"get\", \"arguments\": {\"a\": 1, \"b\": [\"x\"]}}</tool_call><|im_end|>\n"
            + "<|im_start|>tool\n42<|im_end|>\n<|im_start|>assistant\nDone.<|im_end|>\n<|im_start|>assistant\n");
    }

    [Fact]
    public void Render_Tools_AreFunctions()
    {
        using var schema = JsonDocument.Parse("""{"type": "object", "properties": {"q": {"type": "string", "maxLength": 18446744073709551615}}}""");
        var tools = new[] { new ToolDefinition("get", "Gets.", schema.RootElement) };
        Text(ChatMl, [new(ChatRole.User, "Hi")], tools).ShouldStartWith(
            "<s>TOOLS[{\"type\": \"function\", \"function\": {\"name\": \"get\", \"description\": \"Gets.\", \"parameters\": "
            + "{\"type\": \"object\", \"properties\": {\"q\": {\"type\": \"string\", \"maxLength\": 18446744073709551615}}}}}]\n<|im_start|>");
        Text("{{ tools is none }}{{ documents is none }}", []).ShouldBe("TrueTrue");
        Text("{{ tools }}", [], tools).ShouldStartWith("[{\"type\": \"function\"");
    }

    [Fact]
    public void Render_Variables_ReachTheTemplate()
    {
        Text(ChatMl, [new(ChatRole.User, "Hi")], variables: """{"enable_thinking": false}""").ShouldEndWith("assistant\n<think>\n\n</think>\n\n");
        Should.Throw<ChatTemplateException>(() => Text(ChatMl, [], variables: """{"messages": []}""")).Message.ShouldContain("'messages'");
        Should.Throw<ChatTemplateException>(() => Text(ChatMl, [], variables: """{"bos_token": "x"}""")).Message.ShouldContain("'bos_token'");
    }

    [Fact]
    public void Render_AnyInput_NeverCountsAsTemplate()
    {
        const string markers = "<|im_start|>";
        string[] pieces = [markers, "<|im_end|>", "</s>", "a", "\n", "<", "|>", "<tool_call>"];
        var gen = Gen.Int[0, pieces.Length - 1].Select(i => pieces[i]).List[0, 6].Select(string.Concat);
        Gen.Select(gen, gen, gen, gen, gen).Sample((user, name, argument, result, reasoning) =>
        {
            var json = JsonSerializer.Serialize(new Dictionary<string, string> { [argument] = argument });
            var turns = new ChatTurn[]
            {
                new(ChatRole.User, user) { Name = name },
                new(ChatRole.Assistant, user) { Reasoning = reasoning, ToolCalls = [new("id", name, json)] },
                new(ChatRole.Tool, result) { Name = name, ToolCallId = name },
            };
            var segments = Segments(ChatMl, turns);
            // The same conversation with harmless inputs has the same control tokens: no more, no fewer.
            var harmless = Segments(ChatMl, [new(ChatRole.User, "x"), new(ChatRole.Assistant, "x") { Reasoning = reasoning.Length == 0 ? "" : "x", ToolCalls = [new("id", "x", "{}")] }, new(ChatRole.Tool, "x")]);
            return Count(segments, markers) == Count(harmless, markers) && Count(segments, "<|im_end|>") == Count(harmless, "<|im_end|>")
                && Count(segments, "<tool_call>") == Count(harmless, "<tool_call>") && Count(segments, "</s>") == 0;
        }, iter: 300);

        static int Count(IReadOnlyList<PromptSegment> segments, string token) =>
            segments.Where(s => s.IsTemplate).Sum(s => s.Text.Split(token).Length - 1);
    }

    [Fact]
    public void Render_RoleInsideAControlToken_IsTemplate() =>
        Segments("{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}", [new(ChatRole.User, "Hi")])
            .ShouldBe([new("<|user|>", true), new("Hi", false), new("<|end|>", true)]);

    [Fact]
    public void Render_ArgumentsThatAreNoJson_AreShownAsTheyAre() =>
        Text(ChatMl, [Call with { ToolCalls = [new("c", "get", "{broken")] }]).ShouldContain("""{"name": "get", "arguments": "{broken"}""");

    [Fact]
    public void Render_ArgumentsWithHalfASurrogatePair_AreShownAsTheyAre() =>
        Text(ChatMl, [Call with { ToolCalls = [new("c", "get", "{\"a\": \"\ud83d\"}")] }]).ShouldContain("\"arguments\": \"{\\\"a\\\": \\\"");

    [Theory]
    // arguments as text, content none
    [InlineData("{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}<{{ c.function.name + ':' + c.function.arguments }}>{% endfor %}{% else %}[{{ m.role + m.content }}]{% endif %}{% endfor %}", "[userHi]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    // arguments as text, content empty
    [InlineData("{% for m in messages %}[{{ m.role + m.content }}]{% for c in m.tool_calls %}<{{ c.function.name + ':' + c.function.arguments }}>{% endfor %}{% endfor %}", "[userHi][assistant]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    // arguments printed: as JSON, not as a Python dict
    [InlineData("{% for m in messages %}[{{ m.content }}]{% for c in m.tool_calls %}<{{ c.function.name }}:{{ c.function.arguments }}>{% endfor %}{% endfor %}", "[Hi][]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    // arguments as a dict
    [InlineData("{% for m in messages %}[{{ m.content }}]{% for c in m.tool_calls %}<{{ c.function.name }}:{{ c.function.arguments|tojson }}>{% endfor %}{% endfor %}", "[Hi][]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    [InlineData("{% for m in messages %}[{{ m.content }}]{% for c in m.tool_calls %}<{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %})>{% endfor %}{% endfor %}", "[Hi][]<get(a=1;b=['x'];)>")]
    // content as parts
    [InlineData("{% for m in messages %}[{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}]{% for c in m.tool_calls %}<{{ c.function.name }}:{{ c.function.arguments|tojson }}>{% endfor %}{% endfor %}", "[Hi][]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    // content as either
    [InlineData("{% for m in messages %}[{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ '<' + p['text'] }}{% endfor %}{% endif %}]{% for c in m.tool_calls %}<{{ c.function.name }}:{{ c.function.arguments|tojson }}>{% endfor %}{% endfor %}", "[Hi][]<get:{\"a\": 1, \"b\": [\"x\"]}>")]
    // tools not supported
    [InlineData("{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}[{{ m.content }}]{% endfor %}", "[Hi][]")]
    public void Render_ToolCall_TakesTheShapeThatTheTemplateReads(string template, string expected) =>
        Text(template, [new(ChatRole.User, "Hi"), Call]).ShouldBe(expected);

    [Fact]
    public void Render_TemplateThatShowsNoCalls_GetsThemInTheContent()
    {
        // Like SmolLM3's: it explains <tool_call>, but drops message.tool_calls.
        const string template = "{% if tools %}Write <tool_call>...</tool_call>.{% endif %}{% for m in messages %}[{{ m.content }}]{% endfor %}";
        Segments(template, [new(ChatRole.User, "Hi"), Call with { Content = "I look.", ToolCalls = [.. Call.ToolCalls, new("c2", "a\"b", "{}")] }]).ShouldBe(
        [
            new("[", true), new("Hi", false), new("][", true), new("I look.", false), new("\n<tool_call>\n", true),
            new("{\"name\": \"get\", \"arguments\": {\"a\": 1, \"b\": [\"x\"]}}", false), new("\n</tool_call>\n<tool_call>\n", true),
            new("{\"name\": \"a\\\"b\", \"arguments\": {}}", false), new("\n</tool_call>]", true),
        ]);
        Text("<|tool|>{% for m in messages %}[{{ m.content }}]{% endfor %}", [Call]).ShouldBe("<|tool|>[<|tool_call|>[{\"name\": \"get\", \"arguments\": {\"a\": 1, \"b\": [\"x\"]}}]<|/tool_call|>]");
    }

    [Fact]
    public void Render_ToolsReadFromTheSystemMessage_AreThere()
    {
        const string phi = "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
            + "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|><|end|>' }}"
            + "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}";
        using var schema = JsonDocument.Parse("{}");
        var tools = new[] { new ToolDefinition("get", "Gets.", schema.RootElement) };
        const string json = "<|tool|>[{\"name\": \"get\", \"description\": \"Gets.\", \"parameters\": {}}]<|/tool|><|end|>";
        Text(phi, [new(ChatRole.System, "S"), new(ChatRole.User, "Hi")], tools).ShouldBe("<|system|>S" + json + "<|user|>Hi<|end|>");
        Text(phi, [new(ChatRole.User, "Hi")], tools).ShouldBe("<|system|>" + json + "<|user|>Hi<|end|>");
        Text(phi, [new(ChatRole.User, "Hi")]).ShouldBe("<|user|>Hi<|end|>");
    }

    [Fact]
    public void Render_ConcurrentlyOnOneTemplate_GivesTheSame()
    {
        var template = new ChatTemplate(ChatMl, Tokens);
        var expected = JinjaRun.Join(template.Render([new(ChatRole.User, "Hi"), Call], [], true, NoVariables, JinjaRun.Noon));
        Parallel.For(0, 50, _ => JinjaRun.Join(template.Render([new(ChatRole.User, "Hi"), Call], [], true, NoVariables, JinjaRun.Noon)).ShouldBe(expected));
    }

    [Fact]
    public void Render_LongConversation_StaysWithinTheLimits()
    {
        var turns = Enumerable.Range(0, 4000).Select(i => new ChatTurn(i % 2 == 0 ? ChatRole.User : ChatRole.Assistant, new string('x', 1000))).ToList();
        JinjaRun.Join(Segments(ChatMl, turns)).Length.ShouldBeGreaterThan(4_000_000);
    }
}
