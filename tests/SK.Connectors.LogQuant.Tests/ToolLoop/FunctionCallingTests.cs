using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Shouldly;
using Xunit;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

/// <summary>What users of function calling rely on, whatever the connector: kinds of functions, of arguments, of results, of histories.</summary>
public sealed class FunctionCallingTests
{
    private static readonly LogQuantPromptExecutionSettings Auto = new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };

    private static readonly LogQuantPromptExecutionSettings Manual =
        new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false) };

    private static ChatHistory Ask() => [new ChatMessageContent(AuthorRole.User, "Go.")];

    private static Kernel KernelWith(params KernelFunction[] functions)
    {
        var kernel = new Kernel();
        kernel.Plugins.AddFromFunctions("Do", functions);
        return kernel;
    }

    /// <summary>What the model reads of a call's result.</summary>
    private static async Task<string> ResultAsync(KernelFunction function, string arguments = "{}", Kernel? kernel = null)
    {
        kernel ??= KernelWith(function);
        var engine = new ScriptedEngine(Script.Calls(("c1", $"Do-{function.Name}", arguments)), Script.Text("ok"));
        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(Ask(), Auto, kernel);
        return engine.Requests[1].Turns[^1].Content;
    }

    [JsonConverter(typeof(JsonStringEnumConverter<Size>))]
    public enum Size
    {
        Small,
        Large,
    }

    public sealed record Address(string City, int Number, Size Size);

    public static TheoryData<string, Delegate> Results => new()
    {
        { "text", () => "text" },
        { "", string? () => null },
        { "", () => Task.CompletedTask },
        { "later", () => Task.FromResult("later") },
        { "later", () => ValueTask.FromResult("later") },
        { "true", () => true },
        { "0.5", () => 0.5 },
        { "[1,2]", () => new List<int> { 1, 2 } },
        { """{"a":"ü"}""", () => new Dictionary<string, string> { ["a"] = "ü" } },
        { """{"a":[1]}""", () => JsonNode.Parse("""{"a":[1]}""") },
        { "part", () => new TextContent("part") },
        { "one\ntwo", () => new ChatMessageContent[] { new(AuthorRole.Assistant, "one"), new(AuthorRole.Assistant, "two") } },
    };

    [Theory]
    [MemberData(nameof(Results), DisableDiscoveryEnumeration = true)]
    public async Task Result_OfAnyType_IsReadAsText(string expected, Delegate function) =>
        (await ResultAsync(KernelFunctionFactory.CreateFromMethod(function, "Something"))).ShouldBe(expected);

    [Fact]
    public async Task Result_OfAPromptFunction_IsItsAnswer()
    {
        var kernel = Kernel.CreateBuilder().AddLogQuantChatCompletion(_ => new ScriptedEngine(Script.Text("a haiku"))).Build();
        var function = KernelFunctionFactory.CreateFromPrompt("Write about {{$topic}}.", functionName: "Write");
        kernel.Plugins.AddFromFunctions("Do", [function]);

        (await ResultAsync(function, """{"topic":"rain"}""", kernel)).ShouldBe("a haiku");
    }

    [Fact]
    public async Task Result_Image_IsAnErrorForTheModel() =>
        (await ResultAsync(KernelFunctionFactory.CreateFromMethod(() => new ImageContent(new byte[] { 1 }, "image/png"), "Draw")))
            .ShouldBe("Error: the function failed: A function returned a ImageContent; a text model can read text and JSON only.");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Arguments_OfAnyType_ReachTheFunction(bool retainTypes)
    {
        var seen = new List<object?>();
        var kernel = KernelWith(KernelFunctionFactory.CreateFromMethod(
            (Address address, Size[] sizes, double weight, bool fast, DateTime day, string? note = "none") =>
                seen.AddRange([address, sizes, weight, fast, day, note]), "Send"));
        const string Arguments = """
            {"address":{"City":"Zürich","Number":7,"Size":"Large"},"sizes":["Small","Large"],"weight":0.25,"fast":true,"day":"2024-02-29"}
            """;
        var engine = new ScriptedEngine(Script.Calls(("c1", "Do-Send", Arguments)), Script.Text("sent"));
        var settings = new LogQuantPromptExecutionSettings
        {
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(options: new() { RetainArgumentTypes = retainTypes }),
        };

        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(Ask(), settings, kernel);

        engine.Requests[1].Turns[^1].Content.ShouldBe("");
        seen[0].ShouldBe(new Address("Zürich", 7, Size.Large));
        seen[1].ShouldBe(new[] { Size.Small, Size.Large });
        seen.Skip(2).ShouldBe([0.25, true, new DateTime(2024, 2, 29), "none"]);
    }

    [Fact]
    public async Task Function_WithExplicitSchemas_IsShownAndCalledWithThem()
    {
        var schema = KernelJsonSchema.Parse("""
            {"type":"object","properties":{"lines":{"type":"array","items":{"type":"object","properties":{"sku":{"type":"string"}},"required":["sku"]}}},
            "required":["lines"]}
            """);
        KernelArguments? seen = null;
        var kernel = KernelWith(KernelFunctionFactory.CreateFromMethod(
            (KernelArguments arguments) => { seen = arguments; return "ok"; }, "Order", "Orders.",
            [
                new KernelParameterMetadata("payload") { Schema = schema, IsRequired = true },
                new KernelParameterMetadata("dry_run") { Schema = KernelJsonSchema.Parse("""{"type":"boolean"}""") },
            ]));
        var engine = new ScriptedEngine(Script.Calls(("c1", "Do-Order", """{"payload":{"lines":[{"sku":"A1"}]}}""")), Script.Text("done"));

        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(Ask(), Auto, kernel);

        var tool = engine.Requests[0].Tools.ShouldHaveSingleItem();
        (tool.Name, tool.Description).ShouldBe(("Do-Order", "Orders."));
        tool.Parameters.GetProperty("properties").GetProperty("payload").GetProperty("properties").GetProperty("lines").GetProperty("items")
            .GetProperty("required")[0].GetString().ShouldBe("sku");
        tool.Parameters.GetProperty("required").EnumerateArray().Select(r => r.GetString()).ShouldBe(["payload"]);
        seen!["payload"].ShouldBe("""{"lines":[{"sku":"A1"}]}""");
        seen.ContainsName("dry_run").ShouldBeFalse();
    }

    [Fact]
    public async Task Manual_FunctionsOfNoKernel_AreOfferedAndTheirCallsReturned()
    {
        var function = KernelPluginFactory.CreateFromFunctions("Do",
            [KernelFunctionFactory.CreateFromMethod(() => "x", "Now")]).Single();
        var engine = new ScriptedEngine(Script.Calls(("c1", "Do-Now", "{}")));
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Required([function], autoInvoke: false) };

        var message = await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(Ask(), settings);

        var call = FunctionCallContent.GetFunctionCalls(message).ShouldHaveSingleItem();
        (call.PluginName, call.FunctionName).ShouldBe(("Do", "Now"));
        engine.Requests[0].ToolChoice.ShouldBe(ToolChoice.Required);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Manual_ExceptionGivenAsResult_IsReadableText(bool thrown)
    {
        Exception exception = new TimeoutException("took too long");
        try
        {
            if (thrown)
                throw exception;
        }
        catch (TimeoutException e)
        {
            exception = e;
        }
        var call = new FunctionCallContent("Now", "Do", "c1", []);
        ChatHistory history = [.. Ask(), new ChatMessageContent(AuthorRole.Assistant, [call]),
            new FunctionResultContent(call, exception).ToChatMessage()];
        var engine = new ScriptedEngine(Script.Text("Sorry."));

        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(history, Manual, KernelWith());

        engine.Requests[0].Turns[^1].Content.ShouldBe("Error: the function failed: took too long");
    }

    [Fact]
    public async Task Manual_SimulatedCall_IsReadLikeAnyOther()
    {
        var engine = new ScriptedEngine(Script.Text("Take an umbrella."));
        var call = new FunctionCallContent("Alert", "Weather", "simulated", new() { ["city"] = "Bergen" });
        ChatHistory history =
        [
            .. Ask(),
            new ChatMessageContent(AuthorRole.Assistant, [call]),
            new ChatMessageContent(AuthorRole.Tool, [new FunctionResultContent(call, "rain"),
                new FunctionResultContent("Alert", "Weather", "other", "wind")]),
        ];

        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(history, Manual, KernelWith());

        engine.Requests[0].Turns[1].ToolCalls.ShouldBe([new ToolCall("simulated", "Weather-Alert", """{"city":"Bergen"}""")]);
        engine.Requests[0].Turns.Skip(2).Select(t => (t.Role, t.ToolCallId, t.Content)).ShouldBe([
            (TurnRole.Tool, "simulated", "rain"), (TurnRole.Tool, "other", "wind")]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task History_WrittenAsJsonAndReadAgain_RendersTheSameTurns(bool streaming)
    {
        var kernel = KernelWith(KernelFunctionFactory.CreateFromMethod((int a) => a + 1, "Next"),
            KernelFunctionFactory.CreateFromMethod(() => new { a = "ü" }, "Facts"));
        var engine = new ScriptedEngine(
            [new ReasoningDelta("Which?"), new TextDelta("Both."), .. Script.Calls(("c1", "Do-Next", """{"a":41}"""), ("c2", "Do-Facts", "{}"))],
            Script.Text("42"), Script.Text("yes"));
        var service = new LogQuantChatCompletionService(engine);
        var history = Ask();
        if (streaming)
            await service.GetStreamingChatMessageContentsAsync(history, Auto, kernel).ToListAsync();
        else
            await service.GetChatMessageContentAsync(history, Auto, kernel);

        var again = JsonSerializer.Deserialize<ChatHistory>(JsonSerializer.Serialize(history))!;
        await service.GetChatMessageContentAsync(again, Auto, kernel);

        var (before, after) = (engine.Requests[1].Turns, engine.Requests[2].Turns);
        after.Select(t => (t.Role, t.Content, t.Reasoning, t.ToolCallId, t.Name)).ShouldBe(
            before.Select(t => (t.Role, t.Content, t.Reasoning, t.ToolCallId, t.Name)));
        after[1].ToolCalls.Select(c => (c.Id, c.Name)).ShouldBe(before[1].ToolCalls.Select(c => (c.Id, c.Name)));
        // Semantic Kernel keeps arguments as text unless told otherwise.
        after[1].ToolCalls[0].ArgumentsJson.ShouldBe("""{"a":"41"}""");
    }
}
