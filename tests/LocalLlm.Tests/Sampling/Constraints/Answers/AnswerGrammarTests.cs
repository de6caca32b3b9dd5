using System.Text.Json;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Answers;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Answers;

public class AnswerGrammarTests
{
    private const string Get = "{\"name\": \"get\", \"arguments\": {\"a\":1}}";
    private const string Add = "{\"name\":\"add\",\"arguments\":{}}";
    private const string LlamaGet = "{\"name\": \"get\", \"parameters\": {\"a\":1}}";
    private const string LlamaAdd = "{\"name\":\"add\",\"parameters\":{}}";

    private static readonly ByteVocabulary Spelled = new();
    private static readonly ByteVocabulary Tokens = new(
        "<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "<|tool_call|>", "<|/tool_call|>", "<think>", "</think>");

    private static readonly ToolDefinition[] Tools = [new("get", "", JsonElement.Parse("{}")), new("add", "", JsonElement.Parse("{}"))];

    private static string Judge(AnswerForm form, string text, ByteVocabulary? vocabulary = null)
    {
        vocabulary ??= Spelled;
        // get takes {"a":1}, and add takes nothing.
        var grammar = AnswerGrammar.Build(
            form, vocabulary.ControlToken, t => GrammarNode.Literal(t.Name == "get" ? "{\"a\":1}" : "{}"),
            c => c is JsonObjectConstraint ? JsonGrammar.Object : new TextNode(CharDfas.FromStrings(((ChoiceConstraint)c).Choices)));
        return vocabulary.Judge(grammar, text);
    }

    private static AnswerForm Form(CallSpelling spelling, ToolChoice? choice = null) => new() { Spelling = spelling, Tools = Tools, Choice = choice ?? ToolChoice.Auto };

    /// <summary>For each spelling: one call, two calls, and texts that are no calls.</summary>
    private static readonly (CallSpelling Spelling, string One, string Two, string[] Wrong)[] Spellings =
    [
        (CallSpelling.Hermes, $"<tool_call>\n{Get}\n</tool_call>", $"<tool_call>{Get}</tool_call>\n<tool_call>\n{Add}\n</tool_call>",
            [$"<tool_call>{LlamaGet}</tool_call>", $"<tool_call>[{Get}]</tool_call>", $"<tool_call>{Get}<tool_call>", "<tool_call>{\"name\":\"get\",\"arguments\":{}}",
                "<tool_call>{\"name\":\"set\"", "<tool_call>{\"arguments\""]),
        (CallSpelling.Llama3Json, LlamaGet, $"{LlamaGet}; {LlamaAdd}", [Get, $"{LlamaGet}, {LlamaAdd}", "{\"name\": \"set\"", "{\"type\":\"function\",\"title\""]),
        (CallSpelling.MistralArray, $"[TOOL_CALLS] [{Get}]", $"[TOOL_CALLS][{Get}, {Add}]", [$"[TOOL_CALLS]{Get}", "[TOOL_CALLS][]", "[TOOL_CALLS]get"]),
        (CallSpelling.MistralArguments, "[TOOL_CALLS]get[ARGS]{\"a\":1}", "[TOOL_CALLS]add[ARGS]{}[TOOL_CALLS]get[ARGS]{\"a\":1}",
            ["[TOOL_CALLS]set", "[TOOL_CALLS]get{", "[TOOL_CALLS]get[ARGS]{}", $"[TOOL_CALLS][{Get}]"]),
        (CallSpelling.Phi4, $"<|tool_call|>[{Get}]<|/tool_call|>", $"<|tool_call|>[{Add},{Get}]<|/tool_call|>", [$"<|tool_call|>{Get}", "<|tool_call|>[]"]),
        (CallSpelling.Functools, $"functools[{Get}]", $"functools[{Add}, {Get}]", ["functools[]", $"functools{Get}"]),
    ];

    public static TheoryData<string> Names => [.. Spellings.Select(s => s.Spelling.ToString())];

    private static (CallSpelling Spelling, string One, string Two, string[] Wrong) Of(string name) => Spellings.Single(s => s.Spelling.ToString() == name);

    [Theory]
    [MemberData(nameof(Names))]
    public void Required_Calls_AreAllThatCanBeWritten(string name)
    {
        var (spelling, one, two, wrong) = Of(name);
        var form = Form(spelling, ToolChoice.Required);

        Judge(form, one).ShouldBe("whole");
        Judge(form, two).ShouldBe("whole");
        Judge(form, "").ShouldBe("part");
        Judge(form, "Hello").ShouldStartWith("no");
        Judge(form, one + "Hello").ShouldStartWith("no");
        Judge(form, one[..^1]).ShouldBe("part");
        wrong.ShouldAllBe(text => Judge(form, text, null).StartsWith("no"));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Auto_TextAndCalls_CanBothBeWritten(string name)
    {
        var (spelling, one, two, wrong) = Of(name);
        var form = Form(spelling);

        Judge(form, "").ShouldBe("whole");
        Judge(form, "Hello {\"a\": [1]} <tool> [TOOL] 😀").ShouldBe("whole");
        Judge(form, one).ShouldBe("whole");
        Judge(form, two).ShouldBe("whole");
        Judge(form, one + " and").ShouldStartWith("no");
        wrong.Where(text => text.StartsWith(one[..11])).ShouldAllBe(text => Judge(form, text, null).StartsWith("no"));
        if (spelling == CallSpelling.Functools)
            Judge(form, "I look.\n" + one).ShouldStartWith("no");
        else if (spelling != CallSpelling.Llama3Json)
            Judge(form, "I look.\n" + two).ShouldBe("whole");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void None_Text_IsAllThatCanBeWritten(string name)
    {
        var (spelling, one, _, _) = Of(name);
        var form = Form(spelling, ToolChoice.None);

        Judge(form, "").ShouldBe("whole");
        Judge(form, "Hello [1] {").ShouldBe("whole");
        Judge(form, one).ShouldStartWith("no");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Function_OnlyThatTool_CanBeCalled(string name)
    {
        var (spelling, one, two, _) = Of(name);

        Judge(Form(spelling, ToolChoice.Function("get")), one).ShouldBe("whole");
        Judge(Form(spelling, ToolChoice.Function("get")), two).ShouldStartWith("no");
        Judge(Form(spelling, ToolChoice.Function("add")), one).ShouldStartWith("no");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void ParallelCallsNotAllowed_OneCall_IsTheEnd(string name)
    {
        var (spelling, one, two, _) = Of(name);
        foreach (var choice in (ToolChoice[])[ToolChoice.Auto, ToolChoice.Required])
        {
            var form = Form(spelling, choice) with { AllowParallelCalls = false };
            Judge(form, one).ShouldBe("whole");
            Judge(form, two).ShouldStartWith("no");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Constraint_WithTools_CallsOrTheConstraintsText(string name)
    {
        var (spelling, one, _, _) = Of(name);
        var form = Form(spelling) with { Constraint = OutputConstraint.JsonObject };

        Judge(form, one).ShouldBe("whole");
        Judge(form, "{\"x\": [1, 2]}").ShouldBe("whole");
        Judge(form, "Hello").ShouldStartWith("no");
        Judge(form with { Choice = ToolChoice.None }, "{\"x\": 1}").ShouldBe("whole");
        Judge(form with { Choice = ToolChoice.Required }, "{\"x\"").ShouldStartWith("no");
        if (spelling != CallSpelling.Llama3Json)
            Judge(form with { Choice = ToolChoice.None }, one).ShouldStartWith("no");
    }

    [Theory]
    [InlineData("‹<tool_call>›\n", nameof(CallSpelling.Hermes), "‹</tool_call>›")]
    [InlineData("‹<|tool_call|>›[", nameof(CallSpelling.Phi4), "]‹<|/tool_call|>›")]
    [InlineData("‹[TOOL_CALLS]›[", nameof(CallSpelling.MistralArray), "]")]
    public void Markers_ThatAreTokens_CannotBeSpelledInLetters(string opener, string spelling, string closer)
    {
        foreach (var choice in (ToolChoice[])[ToolChoice.Auto, ToolChoice.Required])
        {
            Judge(Form(Of(spelling).Spelling, choice), opener + Get + closer, Tokens).ShouldBe("whole");
            Judge(Form(Of(spelling).Spelling, choice), opener.Replace("‹", "").Replace("›", ""), Tokens).ShouldStartWith("no");
        }

        Judge(Form(Of(spelling).Spelling, ToolChoice.None), "Hello " + opener, Tokens).ShouldStartWith("no");
    }

    [Theory]
    [InlineData("{\"city\": \"Rome\"}", "whole")]
    [InlineData(" {\n\"nam\": 1}", "whole")]
    [InlineData("{\"names\": [1]}", "whole")]
    [InlineData("{}", "whole")]
    [InlineData("{x}", "whole")]
    [InlineData("{ \"type\" : \"object\"}", "whole")]
    [InlineData("{\"type\": 3}", "whole")]
    [InlineData("{\"type\": \"function\"", "part")]
    [InlineData("{\"type\": \"function\", \"name\": \"get\", \"parameters\": {\"a\":1}}", "whole")]
    [InlineData("{\"name\": \"Bob\"", "no")]
    [InlineData("I call ‹<|python_tag|>›{\"name\": \"add\", \"parameters\": {}}", "whole")]
    [InlineData("‹<|python_tag|>›print(1)", "no")]
    [InlineData("‹<|python_tag|>›{\"name\": \"add\", \"parameters\": {}}", "whole")]
    public void Auto_Llama_JsonIsACallOnlyIfItBeginsLikeOne(string text, string expected) => Judge(Form(CallSpelling.Llama3Json), text, Tokens).ShouldStartWith(expected);

    [Fact]
    public void MistralArray_Id_MayFollow()
    {
        var form = Form(CallSpelling.MistralArray, ToolChoice.Required);

        Judge(form, "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"a\":1}, \"id\": \"abcDEF123\"}]").ShouldBe("whole");
        Judge(form, "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"a\":1}, \"id\": \"short\"").ShouldStartWith("no");
    }

    [Theory]
    [InlineData(nameof(ReasoningState.Open), "hm <tool_call> hm‹</think>›\n\nyes", "whole")]
    [InlineData(nameof(ReasoningState.Open), "‹</think>›yes", "whole")]
    [InlineData(nameof(ReasoningState.Open), "yes", "part")]
    [InlineData(nameof(ReasoningState.Open), "‹</think>›maybe", "no")]
    [InlineData(nameof(ReasoningState.Possible), "yes", "whole")]
    [InlineData(nameof(ReasoningState.Possible), "‹<think>›hm‹</think>›\n\nyes", "whole")]
    [InlineData(nameof(ReasoningState.Possible), "‹<think>›hm", "part")]
    [InlineData(nameof(ReasoningState.Possible), "yes‹<think>›", "no")]
    [InlineData(nameof(ReasoningState.None), "yes", "whole")]
    [InlineData(nameof(ReasoningState.None), "‹<think>›", "no")]
    public void Reasoning_BeforeAConstraint_IsFree(string reasoning, string text, string expected) =>
        Judge(new() { Reasoning = Enum.Parse<ReasoningState>(reasoning), Constraint = OutputConstraint.Choice("yes", "no") }, text, Tokens).ShouldStartWith(expected);

    [Theory]
    [InlineData("‹<think>›a call? ‹<tool_call>›no‹</think>›Hello", "whole")]
    [InlineData("‹<think>›hm‹</think>›‹<tool_call>›{\"name\": \"add\", \"arguments\": {}}‹</tool_call>›", "whole")]
    [InlineData("‹<think>›hm", "part")]
    [InlineData("Hello", "whole")]
    [InlineData("Hello ‹<think>›", "no")]
    public void Reasoning_BeforeACall_IsFree(string text, string expected) =>
        Judge(Form(CallSpelling.Hermes) with { Reasoning = ReasoningState.Possible }, text, Tokens).ShouldStartWith(expected);

    [Theory]
    [InlineData(ToolCallFormat.Mistral, "[TOOL_CALLS] [", nameof(CallSpelling.MistralArray))]
    [InlineData(ToolCallFormat.Mistral, "[TOOL_CALLS]' + name + '[ARGS]", nameof(CallSpelling.MistralArguments))]
    [InlineData(ToolCallFormat.Phi4, "<|tool|>", nameof(CallSpelling.Phi4))]
    [InlineData(ToolCallFormat.Phi4, "functools[", nameof(CallSpelling.Functools))]
    [InlineData(ToolCallFormat.None, "", nameof(CallSpelling.None))]
    public void Of_Template_TellsTheSpelling(ToolCallFormat format, string template, string expected) =>
        CallSpellings.Of(format, template).ToString().ShouldBe(expected);
}
