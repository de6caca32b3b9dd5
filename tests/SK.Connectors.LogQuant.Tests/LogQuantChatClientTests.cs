using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using Shouldly;
using Xunit;
using ChatRole = Microsoft.Extensions.AI.ChatRole;

namespace SK.Connectors.LogQuant.Tests;

public sealed class LogQuantChatClientTests
{
    private static readonly ChatMessage[] Hello = [new(ChatRole.User, "Hello")];

    [Fact]
    public async Task GetResponse_TextAnswer_HasTextUsageReasonAndOurProperties()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Text("Good ", "day")));

        var response = await client.GetResponseAsync(Hello);

        response.Text.ShouldBe("Good day");
        response.Messages.Count.ShouldBe(1);
        response.Messages[0].Role.ShouldBe(ChatRole.Assistant);
        response.FinishReason.ShouldBe(ChatFinishReason.Stop);
        response.ModelId.ShouldBe("scripted");
        response.ResponseId.ShouldNotBeNullOrEmpty();
        response.CreatedAt.ShouldNotBeNull();
        response.ConversationId.ShouldBeNull();
        var usage = response.Usage.ShouldNotBeNull();
        usage.InputTokenCount.ShouldBe(100);
        usage.OutputTokenCount.ShouldBe(11);
        usage.TotalTokenCount.ShouldBe(111);
        usage.CachedInputTokenCount.ShouldBe(60);
        usage.ReasoningTokenCount.ShouldBe(4);
        var properties = response.AdditionalProperties.ShouldNotBeNull();
        properties[LogQuantMetadata.KvBytes].ShouldBe(5_000L);
        properties[LogQuantMetadata.KvBytesFp16].ShouldBe(40_000L);
        properties[LogQuantMetadata.CachedPromptTokens].ShouldBe(60);
        properties[LogQuantMetadata.TimeToFirstToken].ShouldBe(TimeSpan.FromMilliseconds(30));
        properties[LogQuantMetadata.DecodeTokensPerSecond].ShouldBe(5.0);
    }

    [Fact]
    public async Task GetStreamingResponse_TextAnswer_StreamsEachDeltaThenUsage()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Text("a", "b")));

        var updates = await client.GetStreamingResponseAsync(Hello).ToListAsync();

        updates.Select(u => u.Text).ShouldBe(["a", "b", ""]);
        updates.ShouldAllBe(u => u.Role == ChatRole.Assistant && u.ModelId == "scripted" && u.ConversationId == null);
        updates.Select(u => u.ResponseId).Distinct().Count().ShouldBe(1);
        updates.Select(u => u.FinishReason).ShouldBe([null, null, ChatFinishReason.Stop]);
        updates[^1].Contents.ShouldHaveSingleItem().ShouldBeOfType<UsageContent>().Details.OutputTokenCount.ShouldBe(11);
        updates[^1].RawRepresentation.ShouldBeOfType<GenerationCompleted>();
    }

    [Theory]
    [InlineData(FinishReason.Stop, "stop")]
    [InlineData(FinishReason.Length, "length")]
    [InlineData(FinishReason.ToolCalls, "tool_calls")]
    public async Task GetResponse_EachFinishReason_IsMapped(FinishReason reason, string expected)
    {
        var client = new LogQuantChatClient(new ScriptedEngine([new GenerationCompleted(reason, Script.Usage)]));

        var response = await client.GetResponseAsync(Hello);

        response.FinishReason!.Value.Value.ShouldBe(expected);
    }

    [Fact]
    public async Task GetResponse_OneTokenAnswer_ReportsNoDecodeSpeed()
    {
        var usage = Script.Usage with { CompletionTokens = 1, DecodeTime = TimeSpan.Zero };
        var client = new LogQuantChatClient(new ScriptedEngine([new GenerationCompleted(FinishReason.Stop, usage)]));

        var response = await client.GetResponseAsync(Hello);

        response.AdditionalProperties!.ContainsKey(LogQuantMetadata.DecodeTokensPerSecond).ShouldBeFalse();
    }

    private sealed record City(string Name, int? Population);

    [Fact]
    public async Task GetResponseOfT_Record_SendsItsSchemaAndReadsTheAnswer()
    {
        var engine = new ScriptedEngine(Script.Text("{\"name\":\"Rome\",", "\"population\":null}"));

        var response = await new LogQuantChatClient(engine).GetResponseAsync<City>(Hello);

        response.Result.ShouldBe(new City("Rome", null));
        engine.Requests[0].Constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema.GetProperty("properties").TryGetProperty("population", out _).ShouldBeTrue();
    }

    [Fact]
    public async Task GetResponseOfT_List_IsReadOutOfItsObject()
    {
        var engine = new ScriptedEngine(Script.Text("{\"data\":[1,2]}"));

        (await new LogQuantChatClient(engine).GetResponseAsync<int[]>(Hello)).Result.ShouldBe([1, 2]);

        engine.Requests[0].Constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema.GetProperty("type").GetString().ShouldBe("object");
    }

    [Fact]
    public async Task GetResponseOfT_WithFunctions_CallsThemFirst()
    {
        var engine = new ScriptedEngine(Script.Calls(("c1", "find", "{}")), Script.Text("{\"name\":\"Rome\",\"population\":3}"));
        using var client = new LogQuantChatClient(engine).AsBuilder().UseFunctionInvocation().Build();

        var response = await client.GetResponseAsync<City>(Hello, new ChatOptions { Tools = [AIFunctionFactory.Create(() => "Rome", "find")] });

        response.Result.ShouldBe(new City("Rome", 3));
        engine.Requests.ShouldAllBe(r => r.Constraint is JsonSchemaConstraint && r.Tools.Count == 1 && r.ToolChoice == ToolChoice.Auto);
    }

    [Fact]
    public async Task GetResponse_Reasoning_IsReasoningContentAndNotText()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Of(new ReasoningDelta("hm"), new ReasoningDelta("m"), new TextDelta("yes"))));

        var response = await client.GetResponseAsync(Hello);

        response.Text.ShouldBe("yes");
        response.Messages[0].Contents.OfType<TextReasoningContent>().ShouldHaveSingleItem().Text.ShouldBe("hmm");
    }

    [Fact]
    public async Task GetResponse_ReasoningOutputNone_HidesReasoning()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Of(new ReasoningDelta("hm"), new TextDelta("yes"))));

        var response = await client.GetResponseAsync(Hello, new() { Reasoning = new() { Output = ReasoningOutput.None } });

        response.Messages[0].Contents.OfType<TextReasoningContent>().ShouldBeEmpty();
    }

    [Fact]
    public async Task GetResponse_ToolCalls_AreFunctionCallsInOneMessage()
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Calls(("c1", "add", """{"a":1,"b":[true]}"""), ("c2", "now", ""))));

        var response = await client.GetResponseAsync(Hello);

        response.FinishReason.ShouldBe(ChatFinishReason.ToolCalls);
        var calls = response.Messages.ShouldHaveSingleItem().Contents.OfType<FunctionCallContent>().ToList();
        calls.Select(c => (c.CallId, c.Name)).ShouldBe([("c1", "add"), ("c2", "now")]);
        calls[0].Arguments!["a"].ShouldBeOfType<JsonElement>().GetInt32().ShouldBe(1);
        calls[0].Exception.ShouldBeNull();
        calls[1].Arguments.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("{\"a\":")]
    [InlineData("[1]")]
    [InlineData("\"text\"")]
    public async Task GetResponse_ArgumentsAreNoObject_CallCarriesException(string arguments)
    {
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Calls(("c1", "add", arguments))));

        var response = await client.GetResponseAsync(Hello);

        response.Messages[0].Contents.OfType<FunctionCallContent>().Single().Exception.ShouldNotBeNull();
    }

    [Fact]
    public async Task GetResponse_Cancelled_EndsWithOperationCanceled()
    {
        using var cancellation = new CancellationTokenSource();
        var engine = new ScriptedEngine(Script.Text("a", "b"))
        {
            BeforeUpdate = async ct =>
            {
                await cancellation.CancelAsync();
                await Task.Delay(Timeout.Infinite, ct);
            },
        };
        var client = new LogQuantChatClient(engine);

        await Should.ThrowAsync<OperationCanceledException>(() => client.GetResponseAsync(Hello, cancellationToken: cancellation.Token));
    }

    [Fact]
    public async Task GetStreamingResponse_CancelledBetweenUpdates_EndsPromptly()
    {
        using var cancellation = new CancellationTokenSource();
        var client = new LogQuantChatClient(new ScriptedEngine(Script.Text("a", "b", "c")));
        var seen = new List<string>();

        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var update in client.GetStreamingResponseAsync(Hello, cancellationToken: cancellation.Token))
            {
                seen.Add(update.Text);
                await cancellation.CancelAsync();
            }
        });

        seen.ShouldBe(["a"]);
    }

    [Fact]
    public async Task GetResponse_AlreadyCancelled_NeverReachesTheEngine()
    {
        var engine = new ScriptedEngine(Script.Text("a"));

        await Should.ThrowAsync<OperationCanceledException>(() =>
            new LogQuantChatClient(engine).GetResponseAsync(Hello, cancellationToken: new CancellationToken(canceled: true)));

        engine.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task GetResponse_EngineFails_ErrorIsPassedOn()
    {
        var client = new LogQuantChatClient(new ScriptedEngine());

        await Should.ThrowAsync<LocalLlmException>(() => client.GetResponseAsync(Hello));
    }

    [Fact]
    public void GetService_MetadataEngineAndSelf_AreFound()
    {
        var engine = new ScriptedEngine();
        var client = new LogQuantChatClient(engine);

        var metadata = client.GetService<ChatClientMetadata>().ShouldNotBeNull();
        metadata.ProviderName.ShouldBe("logquant");
        metadata.DefaultModelId.ShouldBe("scripted");
        client.GetService<ILlmEngine>().ShouldBeSameAs(engine);
        client.GetService<LogQuantChatClient>().ShouldBeSameAs(client);
        client.GetService<IChatClient>().ShouldBeSameAs(client);
        client.GetService<string>().ShouldBeNull();
        client.GetService(typeof(ILlmEngine), "key").ShouldBeNull();
    }

    [Fact]
    public void Dispose_Always_LeavesTheEngineRunning()
    {
        var engine = new ScriptedEngine();

        new LogQuantChatClient(engine).Dispose();

        engine.IsDisposed.ShouldBeFalse();
    }

    public static TheoryData<ChatToolMode, ToolChoice> Modes => new()
    {
        { ChatToolMode.Auto, ToolChoice.Auto },
        { ChatToolMode.None, ToolChoice.None },
        { ChatToolMode.RequireAny, ToolChoice.Required },
        { ChatToolMode.RequireSpecific("now"), ToolChoice.Function("now") },
    };

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task GetResponse_EachToolMode_ReachesTheEngineWithAllTools(ChatToolMode mode, ToolChoice expected)
    {
        var engine = new ScriptedEngine(Script.Text("x"));

        await new LogQuantChatClient(engine).GetResponseAsync(Hello, Options(mode));

        engine.Requests[0].ToolChoice.ShouldBe(expected);
        engine.Requests[0].Tools.Select(t => t.Name).ShouldBe(["add", "now"]);
    }

    [Fact]
    public async Task GetResponse_RequiredButCutShort_ReasonIsLength()
    {
        var client = new LogQuantChatClient(new ScriptedEngine([new GenerationCompleted(FinishReason.Length, Script.Usage)]));

        var response = await client.GetResponseAsync(Hello, Options(ChatToolMode.RequireAny));

        response.FinishReason.ShouldBe(ChatFinishReason.Length);
        response.Messages.SelectMany(m => m.Contents).OfType<FunctionCallContent>().ShouldBeEmpty();
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public async Task GetResponse_AllowMultipleToolCalls_ReachesTheEngine(bool? allow, bool expected)
    {
        var engine = new ScriptedEngine(Script.Text("x"));
        var options = Options(ChatToolMode.Auto);
        options.AllowMultipleToolCalls = allow;

        await new LogQuantChatClient(engine).GetResponseAsync(Hello, options);

        engine.Requests[0].AllowParallelToolCalls.ShouldBe(expected);
    }

    [Fact]
    public async Task GetResponseOfT_Type_SendsItsSchemaAndReadsTheAnswer()
    {
        var engine = new ScriptedEngine(Script.Text("""{"city":"Rome",""", "\"hour\":12}"));

        var response = await new LogQuantChatClient(engine).GetResponseAsync<Moment>(Hello);

        response.Result.ShouldBe(new Moment("Rome", 12));
        var schema = engine.Requests[0].Constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema;
        schema.GetProperty("properties").GetProperty("hour").GetProperty("type").GetString().ShouldBe("integer");
        schema.GetProperty("required").GetArrayLength().ShouldBe(2);
    }

    private sealed record Moment(string City, int Hour);

    private static ChatOptions Options(ChatToolMode mode) => new()
    {
        ToolMode = mode,
        Tools = [AIFunctionFactory.Create((int a) => a, "add"), AIFunctionFactory.Create(() => "noon", "now")],
    };
}
