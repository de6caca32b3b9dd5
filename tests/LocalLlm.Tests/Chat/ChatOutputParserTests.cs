using CsCheck;
using LocalLlm.Chat;

namespace LocalLlm.Tests.Chat;

public class ChatOutputParserTests
{
    private const ToolCallFormat Hermes = ToolCallFormat.Hermes;
    private const ToolCallFormat Llama = ToolCallFormat.Llama3Json;
    private const ToolCallFormat Mistral = ToolCallFormat.Mistral;
    private const ToolCallFormat Phi = ToolCallFormat.Phi4;

    private static readonly HashSet<string> Tools = ["get", "add"];

    // In the expectations: text as it is, R[reasoning], C[name arguments].
    public static TheoryData<ToolCallFormat, string, string> Outputs => new()
    {
        { Hermes, "Hello there.", "Hello there." },
        { Hermes, "  Hello \n", "  Hello \n" },
        { Hermes, "", "" },
        { Hermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": 1}}\n</tool_call>", "C[get {\"a\": 1}]" },
        { Hermes, "I look.\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"add\"}</tool_call>\n", "I look.C[get {}]C[add {}]" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call> done", "C[get {}]done" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>", "C[get {\"a\":1}]" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":{\"a\":\"</tool_call>{\"}}</tool_call>", "C[get {\"a\":\"</tool_call>{\"}]" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":{}}", "C[get {}]" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":{}}\n<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>", "C[get {}]C[add {}]" },
        { Hermes, "<tool_call>{\"name\":\"get\"}\n{\"name\":\"add\"}</tool_call>", "C[get {}]C[add {}]" },
        { Hermes, "<tool_call>[{\"name\":\"get\"},{\"name\":\"add\"}]</tool_call>", "C[get {}]C[add {}]" },
        { Hermes, "<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"get\",\"arguments\":{}}}</tool_call>", "C[get {}]" },
        { Hermes, "a <tool_call>{\"name\":\"get\",\"argum", "a <tool_call>{\"name\":\"get\",\"argum" },
        { Hermes, "a\n<tool_call>not json</tool_call> b", "a\n<tool_call>not json</tool_call> b" },
        { Hermes, "<tool_call>{\"name\":1}</tool_call>", "<tool_call>{\"name\":1}</tool_call>" },
        { Hermes, "<tool_call>{\"name\":\"get\",\"arguments\":[1]}</tool_call>", "<tool_call>{\"name\":\"get\",\"arguments\":[1]}</tool_call>" },
        { Hermes, "<tool_call>{'name': \"get\"}</tool_call><tool_call>{\"name\":\"add\"}</tool_call>", "<tool_call>{'name': \"get\"}</tool_call>C[add {}]" },
        { Hermes, "<tool_call>{\"name\":\"get\", \"arguments\": {\"a\": \"x}</tool_call><tool_call>{\"name\":\"add\"}</tool_call>", "<tool_call>{\"name\":\"get\", \"arguments\": {\"a\": \"x}</tool_call>C[add {}]" },
        { Hermes, "<tool_call>\n<function=get>\n<parameter=a>\n5\n</parameter>\n<parameter=b>\nx y\n</parameter>\n</function>\n</tool_call>", "C[get {\"a\":5,\"b\":\"x y\"}]" },
        { Hermes, "<tool_call>get<arg_key>a</arg_key><arg_value>x</arg_value></tool_call>", "C[get {\"a\":\"x\"}]" },
        { Hermes, "1 < 2 <tool and <tool_cal", "1 < 2 <tool and <tool_cal" },
        { Hermes, "<think>\nhm\n</think>\n\nHi", "R[hm]Hi" },
        { Hermes, "<think>\n\n</think>\n\nHi", "Hi" },
        { Hermes, "\n<think>a</think><tool_call>{\"name\":\"get\"}</tool_call>", "R[a]C[get {}]" },
        { Hermes, "<think>a <tool_call>b", "R[a <tool_call>b]" },
        { Hermes, "Use <think> tags", "Use <think> tags" },
        { Hermes, "<think>never ends </thin", "R[never ends </thin]" },
        { Hermes, "😀<tool_call>{\"name\":\"get\",\"arguments\":{\"e\":\"😀\"}}</tool_call>😀", "😀C[get {\"e\":\"😀\"}]😀" },
        { Llama, "{\"name\": \"get\", \"parameters\": {\"a\": 1}}", "C[get {\"a\": 1}]" },
        { Llama, " {\"name\":\"get\",\"parameters\":{}}; {\"name\":\"add\",\"parameters\":{}}\n", "C[get {}]C[add {}]" },
        { Llama, "<|python_tag|>{\"name\":\"get\",\"parameters\":{}};{\"name\":\"add\",\"parameters\":{}}", "C[get {}]C[add {}]" },
        { Llama, "I call: <|python_tag|>{\"name\":\"get\",\"parameters\":{}}", "I call:C[get {}]" },
        { Llama, "{\"type\": \"function\", \"name\": \"get\", \"parameters\": {}}", "C[get {}]" },
        { Llama, "{\"name\": \"other\", \"parameters\": {}}", "{\"name\": \"other\", \"parameters\": {}}" },
        { Llama, "{\"city\": \"Rome\"}", "{\"city\": \"Rome\"}" },
        { Llama, "{\"name\": \"get\", \"parameters\": {}} and more", "{\"name\": \"get\", \"parameters\": {}} and more" },
        { Llama, "{\"name\": \"get\", \"param", "{\"name\": \"get\", \"param" },
        { Llama, "{x}", "{x}" },
        { Llama, "{\"type\": \"object\", \"name\": \"get\"}", "{\"type\": \"object\", \"name\": \"get\"}" },
        { Llama, "{\"id\": \"1\", \"name\": \"get\", \"parameters\": {}}", "{\"id\": \"1\", \"name\": \"get\", \"parameters\": {}}" },
        { Llama, "{\"name\": \"get\", \"age\": 3}", "{\"name\": \"get\", \"age\": 3}" },
        { Llama, "{", "{" },
        { Llama, "Like {\"name\": \"get\", \"parameters\": {}}", "Like {\"name\": \"get\", \"parameters\": {}}" },
        { Llama, "<|python_tag|>print(1)", "<|python_tag|>print(1)" },
        { Mistral, "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"a\": [1]}}, {\"name\": \"add\", \"arguments\": {}}]", "C[get {\"a\": [1]}]C[add {}]" },
        { Mistral, "[TOOL_CALLS][{\"name\":\"get\",\"arguments\":{}}] ok", "C[get {}]ok" },
        { Mistral, "Sure. [TOOL_CALLS]get[ARGS]{\"a\": 1}[TOOL_CALLS]add{\"b\": 2}", "Sure.C[get {\"a\": 1}]C[add {\"b\": 2}]" },
        { Mistral, "[TOOL_CALLS]get[CALL_ID]abc123def[ARGS]{}", "C[get {}]" },
        { Mistral, "[TOOL_CALLS] [{\"name\": \"get\"", "[TOOL_CALLS] [{\"name\": \"get\"" },
        { Mistral, "[TOOL_CALLS] what is this", "[TOOL_CALLS] what is this" },
        { Mistral, "[1, 2] [TOOL", "[1, 2] [TOOL" },
        { Phi, "<|tool_call|>[{\"name\":\"get\",\"arguments\":{}}]<|/tool_call|>", "C[get {}]" },
        { Phi, "<|tool_call|>[{\"name\":\"get\",\"arguments\":{}}]", "C[get {}]" },
        { Phi, "functools[{\"name\":\"get\",\"arguments\":{}},{\"name\":\"add\"}]", "C[get {}]C[add {}]" },
        { Phi, "functools is a module", "functools is a module" },
        { ToolCallFormat.None, "<tool_call>{\"name\":\"get\"}</tool_call>", "<tool_call>{\"name\":\"get\"}</tool_call>" },
    };

    [Theory]
    [MemberData(nameof(Outputs))]
    public void Add_WholeOutput_GivesTextReasoningAndCalls(ToolCallFormat format, string output, string expected) =>
        Joined(Run(new(format, false, null, Tools), [output])).ShouldBe(expected);

    [Theory]
    [MemberData(nameof(Outputs))]
    public void Add_CharacterByCharacter_GivesTheSame(ToolCallFormat format, string output, string expected) =>
        Joined(Run(new(format, false, null, Tools), output.Select(c => c.ToString()))).ShouldBe(expected);

    [Fact]
    public void Add_AnyChunking_GivesTheSame()
    {
        string[] pieces =
        [
            "<tool_call>", "</tool_call>", "<think>", "</think>", "{\"name\":\"get\",\"arguments\":{}}", "{\"name\": \"add\"", "}", "{", "[", "]", "\"", "\\",
            "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "get", "functools[", "<|tool_call|>", "<|/tool_call|>", ";", " ", "\n", "a", "<", "😀", "text ",
        ];
        var gen = Gen.Select(
            Gen.Enum<ToolCallFormat>(), Gen.Int[0, pieces.Length - 1].Select(i => pieces[i]).List[0, 12], Gen.Int[1, 5].Array[60], Gen.Bool, Gen.Bool);
        gen.Sample((format, parts, sizes, reasoning, isCutShort) =>
        {
            var output = string.Concat(parts);
            var whole = Joined(Run(new(format, reasoning, null, Tools), [output], isCutShort));
            var chunks = new List<string>();
            for (int at = 0, i = 0; at < output.Length; i++)
            {
                var size = Math.Min(sizes[i % sizes.Length], output.Length - at);
                chunks.Add(output.Substring(at, size));
                at += size;
            }
            return Joined(Run(new(format, reasoning, null, Tools), chunks, isCutShort)) == whole;
        }, iter: 20_000);
    }

    // Text, and calls with where each of them is whole.
    public static TheoryData<ToolCallFormat, string, string[]> CallsInARow => new()
    {
        { Hermes, "I look.\n", ["<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": {\"b\": 1}}}", "\n</tool_call>\n<tool_call>\n{\"name\": \"add\", \"arguments\": {}}", "\n</tool_call>"] },
        { Llama, "", ["{\"name\": \"get\", \"parameters\": {\"a\": \"x;{\"}}", "; {\"name\": \"add\", \"parameters\": {}}"] },
        { Llama, "I look. ", ["<|python_tag|>{\"name\": \"get\", \"parameters\": {}}", "; {\"name\": \"add\", \"parameters\": {}}"] },
        { Mistral, "I look.", ["[TOOL_CALLS]get[ARGS]{\"a\": [1]}", "[TOOL_CALLS]add[ARGS]{}"] },
        { Mistral, "", ["[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {}}, {\"name\": \"add\", \"arguments\": {}}]"] },
        { Phi, "I look.", ["<|tool_call|>[{\"name\": \"get\", \"arguments\": {}}, {\"name\": \"add\", \"arguments\": {}}]", "<|/tool_call|>"] },
        { Phi, "", ["functools[{\"name\": \"get\", \"arguments\": {}}]"] },
    };

    [Theory]
    [MemberData(nameof(CallsInARow))]
    public void Finish_CutShortAnywhere_GivesWholeCallsAndNoPartOfAnother(ToolCallFormat format, string text, string[] parts)
    {
        var output = text + string.Concat(parts);
        var calls = Run(new(format, false, null, Tools), [output]).OfType<ToolCallUpdate>().Select(c => (c.Call.Name, c.Call.ArgumentsJson)).ToList();
        calls.ShouldNotBeEmpty();
        for (var length = 0; length <= output.Length; length++)
        {
            var parser = new ChatOutputParser(format, false, null, Tools);
            List<GenerationUpdate> updates = [.. output[..length].Select(c => c.ToString()).SelectMany(parser.Add), .. parser.Finish(isCutShort: true)];

            // A single character of a marker may be text as well, and so may a word.
            var shown = string.Concat(updates.OfType<TextDelta>().Select(d => d.Text));
            (text.StartsWith(shown.TrimEnd('<', '[')) || "functools".StartsWith(shown)).ShouldBeTrue($"'{shown}' after {length} characters");
            var given = updates.OfType<ToolCallUpdate>().Select(c => (c.Call.Name, c.Call.ArgumentsJson)).ToList();
            given.ShouldBe(calls.Take(given.Count), $"after {length} characters");
        }
    }

    [Fact]
    public void Finish_CutShortInAnArray_GivesNoneOfItsCalls() =>
        Joined(Cut(new(Mistral, false, null, Tools), "Sure.[TOOL_CALLS][{\"name\":\"get\",\"arguments\":{}}, {\"na")).ShouldBe("Sure.");

    [Fact]
    public void Finish_CutShortInText_GivesTheText()
    {
        Joined(Cut(new(Hermes, false, null, Tools), "1 <")).ShouldBe("1 <");
        Joined(Cut(new(Llama, false, null, Tools), "{\"city\": \"Ro")).ShouldBe("{\"city\": \"Ro");
        Joined(Cut(new(Hermes, false, null, new HashSet<string>()), "<tool_ca")).ShouldBe("<tool_ca");
        Joined(Cut(new(Hermes, true, null, Tools), "hm </thi")).ShouldBe("R[hm </thi]");
    }

    private static IEnumerable<GenerationUpdate> Cut(ChatOutputParser parser, string output) => [.. parser.Add(output), .. parser.Finish(isCutShort: true)];

    [Fact]
    public void Add_AnyOutputWithoutMarkers_IsStreamedAtOnce()
    {
        var parser = new ChatOutputParser(Hermes, false, null, Tools);
        parser.Add("Hello").ShouldBe([new TextDelta("Hello")]);
        parser.Add(" world").ShouldBe([new TextDelta(" world")]);
        parser.Add(" <").ShouldBeEmpty();
        parser.Add("b>").ShouldBe([new TextDelta(" <b>")]);
        parser.Add("<tool_").ShouldBeEmpty();
        parser.Add("call>{\"name\":").ShouldBeEmpty();
        parser.Add("\"get\"}</tool_call").ShouldBeEmpty();
        parser.Add(">").ShouldHaveSingleItem().ShouldBeOfType<ToolCallUpdate>().Call.Name.ShouldBe("get");
        parser.HasToolCalls.ShouldBeTrue();
        parser.Finish().ShouldBeEmpty();
    }

    [Fact]
    public void Add_LlamaAnswerInJson_IsStreamedOnceItIsNoCall()
    {
        var parser = new ChatOutputParser(Llama, false, null, Tools);
        parser.Add("{\"na").ShouldBeEmpty();
        parser.Add("mes\": ").ShouldBe([new TextDelta("{\"names\":")]);
        parser.Add("[1").ShouldBe([new TextDelta(" [1")]);
    }

    [Fact]
    public void Add_HalfASurrogatePair_WaitsForTheOther()
    {
        var parser = new ChatOutputParser(ToolCallFormat.None, false, null, Tools);
        parser.Add("a\ud83d").ShouldBe([new TextDelta("a")]);
        parser.Add("\ude00").ShouldBe([new TextDelta("😀")]);
        parser.Add("\ud83d").ShouldBeEmpty();
        parser.Finish().ShouldBe([new TextDelta("\ud83d")]);
    }

    [Theory]
    [InlineData("thinking</think>\n\nanswer", "R[thinking]answer")]
    [InlineData("<think>\nthinking</think>answer", "R[thinking]answer")]
    [InlineData("\nthinking", "R[thinking]")]
    [InlineData("</think>answer", "answer")]
    public void Add_PromptOpenedTheReasoning_BeginsInside(string output, string expected)
    {
        Joined(Run(new(Hermes, true, null, Tools), [output])).ShouldBe(expected);
        Joined(Run(new(Hermes, true, null, Tools), output.Select(c => c.ToString()))).ShouldBe(expected);
    }

    [Fact]
    public void Add_OtherReasoningMarkers_AreKnown() =>
        Joined(Run(new(Mistral, false, ReasoningMarkers.Detect("x [THINK] y"), Tools), ["[THINK]a[/THINK]b"])).ShouldBe("R[a]b");

    [Fact]
    public void Add_NoTools_ReadsNoCalls()
    {
        var parser = new ChatOutputParser(Hermes, false, null, new HashSet<string>());
        Joined(Run(parser, ["<tool_call>{\"name\":\"get\"}</tool_call>"])).ShouldBe("<tool_call>{\"name\":\"get\"}</tool_call>");
        parser.ControlMarkers.ShouldBe(["<think>", "</think>"]);
    }

    [Fact]
    public void Add_Calls_HaveIdsOfTheirFormat()
    {
        static IReadOnlyList<string> Ids(ToolCallFormat format, string output) =>
            [.. Run(new(format, false, null, Tools), [output]).OfType<ToolCallUpdate>().Select(u => u.Call.Id)];
        var hermes = Ids(Hermes, "<tool_call>{\"name\":\"get\"}</tool_call><tool_call>{\"name\":\"get\"}</tool_call>");
        hermes.ShouldAllBe(id => id.StartsWith("call_") && id.Length == 29);
        hermes.Distinct().Count().ShouldBe(2);
        Ids(Mistral, "[TOOL_CALLS][{\"name\":\"get\"}]").ShouldHaveSingleItem().ShouldMatch("^[a-zA-Z0-9]{9}$");
    }

    [Theory]
    [InlineData("... <tool_call>\\n{...}", Hermes)]
    [InlineData("{{ '[TOOL_CALLS] [' }}", Mistral)]
    [InlineData("{{ '<|python_tag|>' }}", Llama)]
    [InlineData("'<|tool|>' + message['tools'] + '<|/tool|>'", Phi)]
    [InlineData("{{ messages }}", ToolCallFormat.None)]
    public void Detect_Template_FindsItsFormat(string template, ToolCallFormat expected) => ToolCallFormats.Detect(template).ShouldBe(expected);

    [Fact]
    public void StartsInReasoning_OnlyTheTemplatesMarker_Counts()
    {
        ReasoningMarkers.Think.StartsInReasoning([new("assistant\n<think>\n", true)]).ShouldBeTrue();
        ReasoningMarkers.Think.StartsInReasoning([new("assistant\n<think>\n\n</think>\n\n", true)]).ShouldBeFalse();
        ReasoningMarkers.Think.StartsInReasoning([new("user\n", true), new("<think>\n", false)]).ShouldBeFalse();
        ReasoningMarkers.Think.StartsInReasoning([]).ShouldBeFalse();
    }

    [Fact]
    public void MayFollow_TemplateKnowsReasoningAndHasNotClosedIt_Is()
    {
        const string Template = "{% if not thinking %}<think>\n\n</think>{% endif %}";
        ReasoningMarkers.Think.MayFollow(Template, [new("assistant\n", true)]).ShouldBeTrue();
        ReasoningMarkers.Think.MayFollow(Template, [new("assistant\n<think>\n\n</think>\n\n", true)]).ShouldBeFalse();
        ReasoningMarkers.Think.MayFollow(Template, [new("user\n", true), new("</think>", false)]).ShouldBeTrue();
        ReasoningMarkers.Think.MayFollow("assistant", [new("assistant\n", true)]).ShouldBeFalse();
    }

    private static IEnumerable<GenerationUpdate> Run(ChatOutputParser parser, IEnumerable<string> chunks, bool isCutShort = false) =>
        [.. chunks.SelectMany(parser.Add), .. parser.Finish(isCutShort)];

    private static string Joined(IEnumerable<GenerationUpdate> updates)
    {
        var joined = new System.Text.StringBuilder();
        var inReasoning = false;
        foreach (var update in updates)
        {
            if (inReasoning && update is not ReasoningDelta)
                joined.Append(']');
            switch (update)
            {
                case TextDelta delta:
                    delta.Text.ShouldNotBeEmpty();
                    joined.Append(delta.Text);
                    break;
                case ReasoningDelta delta:
                    delta.Text.ShouldNotBeEmpty();
                    joined.Append(inReasoning ? "" : "R[").Append(delta.Text);
                    break;
                case ToolCallUpdate call:
                    joined.Append($"C[{call.Call.Name} {call.Call.ArgumentsJson}]");
                    break;
            }
            inReasoning = update is ReasoningDelta;
        }
        return joined.Append(inReasoning ? "]" : "").ToString();
    }
}
