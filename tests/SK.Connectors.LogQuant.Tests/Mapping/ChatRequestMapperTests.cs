using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Shouldly;
using SK.Connectors.LogQuant.Mapping;
using Xunit;
using ChatRole = Microsoft.Extensions.AI.ChatRole;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests.Mapping;

public sealed class ChatRequestMapperTests
{
    private static readonly ChatMessage[] Hello = [new(ChatRole.User, "Hello")];

    private static ChatRequest Map(ChatOptions? options, params ChatMessage[] messages) =>
        ChatRequestMapper.Map(messages.Length > 0 ? messages : Hello, options, new LogQuantChatClient(new ScriptedEngine()), NullLogger.Instance);

    [Fact]
    public void Map_NoOptions_LeavesEverythingToTheModel()
    {
        var request = Map(null).Generation;

        request.Sampling.ShouldBeNull();
        request.MaxTokens.ShouldBeNull();
        request.Prompt.ShouldBeNull();
        request.Tools.ShouldBeEmpty();
        request.StopSequences.ShouldBeEmpty();
        request.TemplateVariables.ShouldBeEmpty();
        request.Turns.ShouldHaveSingleItem().ShouldBe(new ChatTurn(TurnRole.User, "Hello") { ToolCalls = request.Turns[0].ToolCalls });
    }

    [Fact]
    public void Map_CallsOfOneAnswerInAMessageEach_AreOneTurn()
    {
        var turns = Map(null, Hello[0], new(ChatRole.Assistant, [new TextReasoningContent("Both."), new TextContent("I ask."), Call("c1")]),
            new(ChatRole.Assistant, [Call("c2")]), Result("c1"), Result("c2")).Generation.Turns;

        turns.Select(t => t.Role).ShouldBe([TurnRole.User, TurnRole.Assistant, TurnRole.Tool, TurnRole.Tool]);
        (turns[1].Reasoning, turns[1].Content).ShouldBe(("Both.", "I ask."));
        turns[1].ToolCalls.Select(c => c.Id).ShouldBe(["c1", "c2"]);
        turns.Skip(2).Select(t => t.ToolCallId).ShouldBe(["c1", "c2"]);
    }

    [Theory]
    [InlineData("Bo", null)]
    [InlineData(null, "Bo")]
    [InlineData("Bo", "Bo")]
    public void Map_CallBehindAnEmptyAnswer_IsOneTurn(string? first, string? second)
    {
        var turns = Map(null, Hello[0], new(ChatRole.Assistant, "") { AuthorName = first },
            new(ChatRole.Assistant, [Call("c1")]) { AuthorName = second }, Result("c1")).Generation.Turns;

        turns.Select(t => t.Role).ShouldBe([TurnRole.User, TurnRole.Assistant, TurnRole.Tool]);
        turns[1].ToolCalls.ShouldHaveSingleItem().Id.ShouldBe("c1");
        (turns[1].Name, turns[1].Reasoning).ShouldBe(("Bo", null));
    }

    [Fact]
    public void Map_AnswersThatFollowOneAnother_StayApart()
    {
        var turns = Map(null, Hello[0],
            new(ChatRole.Assistant, "Said."),
            new(ChatRole.Assistant, [Call("c1")]) { AuthorName = "Bo" },
            new(ChatRole.Assistant, [Call("c2")]) { AuthorName = "Cy" },
            Result("c1"),
            new(ChatRole.Assistant, [Call("c3")]),
            new(ChatRole.Assistant, "Done.")).Generation.Turns;

        turns.Skip(1).Select(t => (t.Content, string.Join(' ', t.ToolCalls.Select(c => c.Id))))
            .ShouldBe([("Said.", ""), ("", "c1"), ("", "c2"), ("noon", ""), ("", "c3"), ("Done.", "")]);
    }

    private static FunctionCallContent Call(string id) => new(id, "time", new Dictionary<string, object?> { ["city"] = "Rome" });

    private static ChatMessage Result(string id) => new(ChatRole.Tool, [new FunctionResultContent(id, "noon")]);

    [Fact]
    public void Map_AllOptions_ReachTheEngine()
    {
        var request = Map(new ChatOptions
        {
            Temperature = 0.5f,
            TopP = 0.9f,
            TopK = 40,
            Seed = 7,
            MaxOutputTokens = 12,
            StopSequences = ["END"],
            FrequencyPenalty = 0.1f,
            PresencePenalty = 0.2f,
            Reasoning = new() { Effort = ReasoningEffort.High },
            ResponseFormat = ChatResponseFormat.Text,
            AdditionalProperties = new()
            {
                ["min_p"] = 0.05,
                ["repetition_penalty"] = 1.1,
                ["template_variables"] = new Dictionary<string, object?> { ["date"] = "today" },
            },
        }).Generation;

        request.Sampling.ShouldBe(new SamplingOptions
        {
            Temperature = 0.5f,
            TopP = 0.9f,
            TopK = 40,
            Seed = 7,
            FrequencyPenalty = 0.1f,
            PresencePenalty = 0.2f,
            MinP = 0.05f,
            RepetitionPenalty = 1.1f,
        });
        request.MaxTokens.ShouldBe(12);
        request.StopSequences.ShouldBe(["END"]);
        request.TemplateVariables["date"].GetString().ShouldBe("today");
        request.TemplateVariables["enable_thinking"].GetBoolean().ShouldBeTrue();
        request.TemplateVariables["reasoning_effort"].GetString().ShouldBe("high");
    }

    [Fact]
    public void Map_ReasoningEffortNone_TurnsThinkingOff() =>
        Map(new() { Reasoning = new() { Effort = ReasoningEffort.None } }).Generation.TemplateVariables["enable_thinking"].GetBoolean().ShouldBeFalse();

    [Fact]
    public void Map_TemplateVariableGiven_WinsOverTheEffort() =>
        Map(new()
        {
            Reasoning = new() { Effort = ReasoningEffort.None },
            AdditionalProperties = new() { ["template_variables"] = JsonSerializer.SerializeToElement(new { enable_thinking = true }) },
        }).Generation.TemplateVariables["enable_thinking"].GetBoolean().ShouldBeTrue();

    [Fact]
    public void Map_Instructions_BecomeTheFirstSystemTurn()
    {
        var turns = Map(new() { Instructions = "Be brief." }).Generation.Turns;

        turns.Select(t => (t.Role, t.Content)).ShouldBe([(TurnRole.System, "Be brief."), (TurnRole.User, "Hello")]);
    }

    [Fact]
    public void Map_InstructionsAndSystemMessage_BecomeOneTurn()
    {
        var turns = Map(new() { Instructions = "Be brief." }, new(ChatRole.System, "You are Bo."), Hello[0]).Generation.Turns;

        turns.Select(t => (t.Role, t.Content)).ShouldBe([(TurnRole.System, "Be brief.\n\nYou are Bo."), (TurnRole.User, "Hello")]);
    }

    [Fact]
    public void Map_DeveloperRole_IsASystemTurn() =>
        Map(null, new(new ChatRole("developer"), "Be brief."), Hello[0]).Generation.Turns[0].Role.ShouldBe(TurnRole.System);

    [Fact]
    public void Map_ToolConversation_KeepsCallsReasoningAndResults()
    {
        var turns = Map(null,
            Hello[0],
            new(ChatRole.Assistant, [
                new TextReasoningContent("think"),
                new TextContent("one "),
                new TextContent("moment"),
                new FunctionCallContent("c1", "add", new Dictionary<string, object?> { ["a"] = 1, ["b"] = "ü" }),
                new FunctionCallContent("c2", "now")]),
            new(ChatRole.Tool, [new FunctionResultContent("c1", new { sum = 3 }), new FunctionResultContent("c2", "noon")])).Generation.Turns;

        turns.Count.ShouldBe(4);
        turns[1].Reasoning.ShouldBe("think");
        turns[1].Content.ShouldBe("one moment");
        turns[1].ToolCalls.ShouldBe([new ToolCall("c1", "add", """{"a":1,"b":"ü"}"""), new ToolCall("c2", "now", "{}")]);
        (turns[2].Role, turns[2].ToolCallId, turns[2].Name, turns[2].Content).ShouldBe((TurnRole.Tool, "c1", "add", """{"sum":3}"""));
        (turns[3].Role, turns[3].ToolCallId, turns[3].Name, turns[3].Content).ShouldBe((TurnRole.Tool, "c2", "now", "noon"));
    }

    [Fact]
    public void Map_CallAsTheModelWroteIt_IsRenderedUnchanged()
    {
        const string Written = """{ "a" : 1.0,  "b":"x" }""";
        var call = CallArguments.ToContent(new ToolCall("c1", "add", Written));

        Map(null, Hello[0], new(ChatRole.Assistant, [call])).Generation.Turns[1].ToolCalls[0].ArgumentsJson.ShouldBe(Written);
    }

    [Fact]
    public void Map_CallWhoseArgumentsWereChanged_IsRenderedChanged()
    {
        var call = CallArguments.ToContent(new ToolCall("c1", "add", """{ "a" : 1 }"""));
        call.Arguments!["a"] = 2;

        Map(null, Hello[0], new(ChatRole.Assistant, [call])).Generation.Turns[1].ToolCalls[0].ArgumentsJson.ShouldBe("""{"a":2}""");
    }

    [Fact]
    public void Map_CallWithInvalidArguments_IsRenderedAsWritten()
    {
        var call = CallArguments.ToContent(new ToolCall("c1", "add", "{oops"));

        Map(null, Hello[0], new(ChatRole.Assistant, [call])).Generation.Turns[1].ToolCalls[0].ArgumentsJson.ShouldBe("{oops");
    }

    [Fact]
    public void Map_TextBesideAResult_IsNotRenderedTwice()
    {
        var turns = Map(null, Hello[0], new(ChatRole.Tool, [new TextContent("3"), new FunctionResultContent("c1", "3")])).Generation.Turns;

        turns.Count.ShouldBe(2);
        turns[1].Content.ShouldBe("3");
    }

    [Fact]
    public void Map_Functions_BecomeToolsInOrder()
    {
        var tools = Map(new()
        {
            Tools = [AIFunctionFactory.Create((int a) => a, "add", "Adds."), AIFunctionFactory.CreateDeclaration("now", null, JsonElement.Parse("{}"))],
        }).Generation.Tools;

        tools.Select(t => (t.Name, t.Description)).ShouldBe([("add", "Adds."), ("now", "")]);
        tools[0].Parameters.GetProperty("properties").GetProperty("a").GetProperty("type").GetString().ShouldBe("integer");
        tools[1].Parameters.GetRawText().ShouldBe("""{"type":"object","properties":{}}""");
    }

    [Fact]
    public void Map_SchemaWithStrayCondition_LosesItButNotAPropertyOfThatName()
    {
        var schema = JsonElement.Parse("""{"type":"object","condition":"Adds.","properties":{"condition":{"type":"string"}}}""");

        var tool = Map(new() { Tools = [AIFunctionFactory.CreateDeclaration("add", "Adds.", schema)] }).Generation.Tools.Single();

        tool.Parameters.GetRawText().ShouldBe("""{"type":"object","properties":{"condition":{"type":"string"}}}""");
    }

    [Fact]
    public void Map_NoToolMode_LeavesTheRawRequestsChoice()
    {
        var raw = new GenerationRequest { ToolChoice = ToolChoice.None, AllowParallelToolCalls = false };

        var request = Map(new() { Tools = [AIFunctionFactory.Create(() => 1, "one")], RawRepresentationFactory = _ => raw }).Generation;

        (request.ToolChoice, request.AllowParallelToolCalls).ShouldBe((ToolChoice.None, false));
    }

    public static TheoryData<string, ChatOptions> Constraints => new()
    {
        { "", new() { ResponseFormat = ChatResponseFormat.Text } },
        { "JsonObjectConstraint", new() { ResponseFormat = ChatResponseFormat.Json } },
        { """schema {"type":"integer"}""", new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonElement.Parse("""{"type":"integer"}""")) } },
        { """schema {"type":"null"}""", new() { AdditionalProperties = new() { ["guided_json"] = """{"type":"null"}""" } } },
        { """schema {"type":"null"}""", new() { AdditionalProperties = new() { ["guided_json"] = new Dictionary<string, string> { ["type"] = "null" } } } },
        { "regex a+", new() { AdditionalProperties = new() { ["guided_regex"] = "a+" } } },
        { "choice yes|no", new() { AdditionalProperties = new() { ["guided_choice"] = new[] { "yes", "no" } } } },
        { "choice yes", new() { AdditionalProperties = new() { ["guided_choice"] = JsonElement.Parse("""["yes"]"""), ["guided_regex"] = null } } },
        { "regex b", new() { RawRepresentationFactory = _ => new GenerationRequest { Constraint = OutputConstraint.Regex("b") } } },
        { "", new() { RawRepresentationFactory = _ => new GenerationRequest { Constraint = OutputConstraint.JsonObject }, ResponseFormat = ChatResponseFormat.Text } },
    };

    [Theory]
    [MemberData(nameof(Constraints))]
    public void Map_ResponseFormatOrGuidedKey_BecomesAConstraint(string expected, ChatOptions options) =>
        (Map(options).Generation.Constraint switch
        {
            null => "",
            JsonSchemaConstraint schema => $"schema {schema.Schema.GetRawText()}",
            RegexConstraint regex => $"regex {regex.Pattern}",
            ChoiceConstraint choice => $"choice {string.Join('|', choice.Choices)}",
            var other => other.GetType().Name,
        }).ShouldBe(expected);

    [Fact]
    public void Map_RawPrompt_IsPassedOn()
    {
        var request = ChatRequestMapper.Map([], new() { RawRepresentationFactory = _ => new GenerationRequest { Prompt = "Once" }, MaxOutputTokens = 3 },
            new LogQuantChatClient(new ScriptedEngine()), NullLogger.Instance).Generation;

        (request.Prompt, request.MaxTokens).ShouldBe(("Once", 3));
    }

    public static TheoryData<string, ChatOptions> Refused => new()
    {
        { "ConversationId", new() { ConversationId = "x" } },
        { "guided_grammar", new() { AdditionalProperties = new() { ["guided_grammar"] = "root ::= x" } } },
        { "Summary", new() { Reasoning = new() { Output = ReasoningOutput.Summary } } },
        { "HostedWebSearchTool", new() { Tools = [new HostedWebSearchTool()] } },
        { "logit_bias", new() { AdditionalProperties = new() { ["logit_bias"] = new Dictionary<string, int> { ["1"] = 2 } } } },
        { "System.String", new() { RawRepresentationFactory = _ => "x" } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void Map_UnsupportedOption_ErrorNamesIt(string name, ChatOptions options) =>
        Should.Throw<NotSupportedException>(() => Map(options)).Message.ShouldContain(name);

    public static TheoryData<object?, object?, int?> Logprobs => new()
    {
        { true, 3, 3 },
        { true, null, 0 },
        { "true", "20", 20 },
        { System.Text.Json.JsonElement.Parse("true"), System.Text.Json.JsonElement.Parse("2"), 2 },
        { false, 0, null },
        { null, null, null },
        { false, null, null },
    };

    [Theory]
    [MemberData(nameof(Logprobs))]
    public void Map_Logprobs_AreAskedFor(object? logprobs, object? top, int? expected) =>
        Map(new() { AdditionalProperties = new() { ["logprobs"] = logprobs, ["top_logprobs"] = top } }).Generation.TopLogprobs.ShouldBe(expected);

    public static TheoryData<string, ChatOptions> Wrong => new()
    {
        { "min_p", new() { AdditionalProperties = new() { ["min_p"] = "much" } } },
        { "logprobs", new() { AdditionalProperties = new() { ["logprobs"] = 3 } } },
        { "top_logprobs", new() { AdditionalProperties = new() { ["logprobs"] = true, ["top_logprobs"] = 1.5 } } },
        { "'top_logprobs' is 3, but 'logprobs' is not set", new() { AdditionalProperties = new() { ["top_logprobs"] = 3 } } },
        { "'logprobs' is false", new() { AdditionalProperties = new() { ["logprobs"] = false, ["top_logprobs"] = 3 } } },
        { "template_variables", new() { AdditionalProperties = new() { ["template_variables"] = 3 } } },
        { "guided_choice", new() { AdditionalProperties = new() { ["guided_choice"] = "yes" } } },
        { "guided_regex", new() { AdditionalProperties = new() { ["guided_regex"] = 3 } } },
        { "guided_json", new() { AdditionalProperties = new() { ["guided_json"] = "{" } } },
        { "is set; give one", new() { AdditionalProperties = new() { ["guided_regex"] = "a", ["guided_choice"] = new[] { "b" } } } },
        { "give one", new() { ResponseFormat = ChatResponseFormat.Json, AdditionalProperties = new() { ["guided_regex"] = "a" } } },
        { "no tools", new() { ToolMode = ChatToolMode.RequireAny } },
        { "'two'", new() { ToolMode = ChatToolMode.RequireSpecific("two"), Tools = [AIFunctionFactory.Create(() => 1, "one")] } },
        { "'one'", new() { Tools = [AIFunctionFactory.Create(() => 1, "one"), AIFunctionFactory.Create(() => 2, "one")] } },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Map_WrongOption_ErrorNamesIt(string name, ChatOptions options) =>
        Should.Throw<ArgumentException>(() => Map(options)).Message.ShouldContain(name);

    [Fact]
    public void Map_NoMessages_IsAnError() =>
        Should.Throw<ArgumentException>(() => ChatRequestMapper.Map([], null, new LogQuantChatClient(new ScriptedEngine()), NullLogger.Instance));

    public static TheoryData<string, ChatMessage> Unreadable => new()
    {
        { "image/png", new(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")]) },
        { "audio/wav", new(ChatRole.User, [new UriContent("https://example.com/a", "audio/wav")]) },
        { "FunctionCallContent", new(ChatRole.User, [new FunctionCallContent("c", "f")]) },
        { "FunctionResultContent", new(ChatRole.User, [new FunctionResultContent("c", "f")]) },
        { "TextReasoningContent", new(ChatRole.System, [new TextReasoningContent("c")]) },
        { "critic", new(new ChatRole("critic"), "no") },
        { "DataContent", new(ChatRole.Tool, [new FunctionResultContent("c", new DataContent(new byte[] { 1 }, "image/png"))]) },
    };

    [Theory]
    [MemberData(nameof(Unreadable))]
    public void Map_ContentThatATextModelCannotRead_ErrorNamesIt(string name, ChatMessage message) =>
        Should.Throw<NotSupportedException>(() => Map(null, message)).Message.ShouldContain(name);

    [Fact]
    public void Map_ToolMessageWithoutAResult_IsAnError() =>
        Should.Throw<ArgumentException>(() => Map(null, new ChatMessage(ChatRole.Tool, "3"))).Message.ShouldContain("FunctionResultContent");

    [Fact]
    public void Map_UnknownAdditionalProperty_IsLoggedOnce()
    {
        var logger = new RecordingLogger();
        var name = $"unheard_of_{Guid.NewGuid():N}";
        var options = new ChatOptions { AdditionalProperties = new() { [name] = 1 } };

        for (var i = 0; i < 2; i++)
            ChatRequestMapper.Map(Hello, options, new LogQuantChatClient(new ScriptedEngine()), logger);

        logger.Messages.ShouldHaveSingleItem().ShouldContain(name);
    }

    [Fact]
    public async Task GetResponse_AnotherModelId_IsAnError()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Text("x")));

        var error = await Should.ThrowAsync<ArgumentException>(() => client.GetResponseAsync(Hello, new() { ModelId = "other" }));

        error.Message.ShouldContain("scripted");
    }

    private sealed class RecordingLogger : ILogger
    {
        public List<string> Messages { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Messages.Add(formatter(state, exception));
    }
}
