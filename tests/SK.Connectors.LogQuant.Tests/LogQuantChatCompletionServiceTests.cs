using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.Services;
using Microsoft.SemanticKernel.TextGeneration;
using Shouldly;
using Xunit;
using TextContent = Microsoft.SemanticKernel.TextContent;
using TurnRole = LocalLlm.ChatRole;

namespace SK.Connectors.LogQuant.Tests;

public sealed class LogQuantChatCompletionServiceTests
{
    [Fact]
    public async Task GetChatMessageContents_TextAnswer_HasTextAndMetadata()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Text("Good ", "day")));

        var message = (await service.GetChatMessageContentsAsync(new ChatHistory("Hello"))).ShouldHaveSingleItem();

        message.Role.ShouldBe(AuthorRole.Assistant);
        message.Content.ShouldBe("Good day");
        message.ModelId.ShouldBe("scripted");
        ShouldHaveAllMetadata(message.Metadata, "stop");
    }

    [Fact]
    public async Task GetStreamingChatMessageContents_TextAnswer_StreamsTextWithMetadataAlways()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Text("Good ", "day")));

        var parts = await service.GetStreamingChatMessageContentsAsync(new ChatHistory("Hello")).ToListAsync();

        string.Concat(parts.Select(p => p.Content)).ShouldBe("Good day");
        parts.ShouldAllBe(p => p.Role == AuthorRole.Assistant && p.ModelId == "scripted");
        parts.ShouldAllBe(p => new[] { "Usage", "FinishReason", "Id", "CreatedAt", "ModelId" }.All(p.Metadata!.ContainsKey));
        parts[0].Metadata!["Usage"].ShouldBeNull();
        ShouldHaveAllMetadata(parts[^1].Metadata, "stop");
    }

    private static void ShouldHaveAllMetadata(IReadOnlyDictionary<string, object?>? metadata, string finishReason)
    {
        metadata.ShouldNotBeNull();
        metadata["Usage"].ShouldBeOfType<UsageDetails>().InputTokenCount.ShouldBe(100);
        metadata["FinishReason"].ShouldBe(finishReason);
        metadata["Id"].ShouldBeOfType<string>().ShouldNotBeEmpty();
        metadata["CreatedAt"].ShouldBeOfType<DateTimeOffset>();
        metadata["ModelId"].ShouldBe("scripted");
        metadata[LogQuantMetadata.CachedPromptTokens].ShouldBe(60);
        metadata[LogQuantMetadata.KvBytes].ShouldBe(5_000L);
        metadata[LogQuantMetadata.KvBytesFp16].ShouldBe(40_000L);
        metadata[LogQuantMetadata.TimeToFirstToken].ShouldBe(TimeSpan.FromMilliseconds(30));
        metadata[LogQuantMetadata.DecodeTokensPerSecond].ShouldBe(5.0);
    }

    [Fact]
    public async Task GetChatMessageContents_Reasoning_IsReasoningContent()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Of(new ReasoningDelta("hm"), new TextDelta("yes"))));

        var message = await service.GetChatMessageContentAsync(new ChatHistory("Hello"));

        message.Content.ShouldBe("yes");
        message.Items.OfType<ReasoningContent>().ShouldHaveSingleItem().Text.ShouldBe("hm");
    }

    [Fact]
    public async Task GetStreamingChatMessageContents_Reasoning_IsStreamingReasoningContent()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Of(new ReasoningDelta("h"), new ReasoningDelta("m"), new TextDelta("yes"))));

        var parts = await service.GetStreamingChatMessageContentsAsync(new ChatHistory("Hello")).ToListAsync();

        string.Concat(parts.Select(p => p.Content)).ShouldBe("yes");
        string.Concat(parts.SelectMany(p => p.Items).OfType<StreamingReasoningContent>().Select(r => r.Text)).ShouldBe("hm");
    }

    [Fact]
    public async Task GetChatMessageContents_EmptyAnswer_HasEmptyContent()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Text()));

        (await service.GetChatMessageContentAsync(new ChatHistory("Hello"))).Content.ShouldBe("");
    }

    [Fact]
    public async Task GetChatMessageContents_AllRoles_ReachTheEngine()
    {
        var engine = new ScriptedEngine(Script.Text("ok"));
        var history = new ChatHistory("Be brief.");
        history.AddUserMessage("Hello");
        history.Add(new ChatMessageContent(AuthorRole.Assistant, [new ReasoningContent("hm"), new TextContent("Hi")]) { AuthorName = "Bo" });
        history.AddUserMessage("And?");

        await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(history);

        var turns = engine.Requests.Single().Turns;
        turns.Select(t => (t.Role, t.Content)).ShouldBe([
            (TurnRole.System, "Be brief."), (TurnRole.User, "Hello"), (TurnRole.Assistant, "Hi"), (TurnRole.User, "And?")]);
        turns[2].Reasoning.ShouldBe("hm");
        turns[2].Name.ShouldBe("Bo");
    }

    [Fact]
    public async Task GetChatMessageContents_AllSettings_ReachTheEngine()
    {
        var engine = new ScriptedEngine(Script.Text("ok"));

        await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(new ChatHistory("Hello"), new LogQuantPromptExecutionSettings
        {
            Temperature = 0.5,
            TopP = 0.9,
            TopK = 40,
            MinP = 0.05,
            Seed = 7,
            MaxTokens = 12,
            StopSequences = ["END"],
            FrequencyPenalty = 0.1,
            PresencePenalty = 0.2,
            RepetitionPenalty = 1.1,
            ReasoningEffort = "none",
            ResponseFormat = "text",
            Logprobs = true,
            TopLogprobs = 4,
            ExtensionData = new Dictionary<string, object> { ["template_variables"] = new Dictionary<string, object> { ["date"] = "today" } },
        });

        var request = engine.Requests.Single();
        request.Sampling.ShouldBe(new SamplingOptions
        {
            Temperature = 0.5f,
            TopP = 0.9f,
            TopK = 40,
            MinP = 0.05f,
            Seed = 7,
            FrequencyPenalty = 0.1f,
            PresencePenalty = 0.2f,
            RepetitionPenalty = 1.1f,
        });
        request.MaxTokens.ShouldBe(12);
        request.TopLogprobs.ShouldBe(4);
        request.StopSequences.ShouldBe(["END"]);
        request.TemplateVariables["enable_thinking"].GetBoolean().ShouldBeFalse();
        request.TemplateVariables["date"].GetString().ShouldBe("today");
    }

    public static TheoryData<LogQuantPromptExecutionSettings> Wrong =>
    [
        new LogQuantPromptExecutionSettings { ResponseFormat = "xml" },
        new LogQuantPromptExecutionSettings { ResponseFormat = 3 },
        new LogQuantPromptExecutionSettings { ResponseFormat = "json_schema" },
        new LogQuantPromptExecutionSettings { ResponseFormat = """{"type":"json_schema"}""" },
        new LogQuantPromptExecutionSettings { ResponseFormat = "{" },
        new LogQuantPromptExecutionSettings { ResultsPerPrompt = 0 },
        new LogQuantPromptExecutionSettings { ResultsPerPrompt = 129 },
        new LogQuantPromptExecutionSettings { ReasoningEffort = "huge" },
        new LogQuantPromptExecutionSettings { TopLogprobs = 2 },
    ];

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task GetChatMessageContents_WrongSetting_IsAnError(LogQuantPromptExecutionSettings settings) =>
        await Should.ThrowAsync<ArgumentException>(() =>
            new LogQuantChatCompletionService(new ScriptedEngine(Script.Text("x"))).GetChatMessageContentsAsync(new ChatHistory("Hello"), settings));

    [Fact]
    public async Task GetChatMessageContents_Image_IsAnError()
    {
        var history = new ChatHistory();
        history.AddUserMessage([new TextContent("What is this?"), new ImageContent(new byte[] { 1 }, "image/png")]);

        var error = await Should.ThrowAsync<NotSupportedException>(() =>
            new LogQuantChatCompletionService(new ScriptedEngine()).GetChatMessageContentsAsync(history));

        error.Message.ShouldContain("ImageContent (image/png)");
    }

    [Fact]
    public async Task GetChatMessageContents_SystemPromptAmongForeignSettings_StandsInForAMissingOne()
    {
        var engine = new ScriptedEngine(Script.Text("a"), Script.Text("b"));
        var service = new LogQuantChatCompletionService(engine);
        var settings = new PromptExecutionSettings { ExtensionData = new Dictionary<string, object> { ["chat_system_prompt"] = "Be brief." } };
        var withSystem = new ChatHistory("Be long.");
        withSystem.AddUserMessage("Hello");

        await service.GetChatMessageContentsAsync([new ChatMessageContent(AuthorRole.User, "Hello")], settings);
        await service.GetChatMessageContentsAsync(withSystem, settings);

        engine.Requests.Select(r => r.Turns[0].Content).ShouldBe(["Be brief.", "Be long."]);
    }

    [Fact]
    public async Task GetChatMessageContents_ContextTooLong_ErrorIsPassedOn()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Failing()));

        var error = await Should.ThrowAsync<ContextLengthException>(() => service.GetChatMessageContentsAsync(new ChatHistory("Hello")));
        error.PromptTokens.ShouldBe(5000);

        static IEnumerable<GenerationUpdate> Failing()
        {
            yield return new TextDelta("x");
            throw new ContextLengthException(5000, 4096);
        }
    }

    [Fact]
    public void Attributes_Always_CarryModelContextAndBits()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine());

        service.GetModelId().ShouldBe("scripted");
        service.Attributes[LogQuantChatCompletionService.ContextLengthKey].ShouldBe(4096);
        service.Attributes[LogQuantChatCompletionService.KvBitsKey].ShouldBe(2);
    }

    [Fact]
    public async Task GetTextContents_Prompt_IsContinuedAsItIs()
    {
        var engine = new ScriptedEngine(Script.Text("upon ", "a time"));

        var text = await ((ITextGenerationService)new LogQuantChatCompletionService(engine)).GetTextContentAsync(
            "Once", new LogQuantPromptExecutionSettings { MaxTokens = 5 });

        text.Text.ShouldBe("upon a time");
        ShouldHaveAllMetadata(text.Metadata, "stop");
        var request = engine.Requests.Single();
        (request.Prompt, request.MaxTokens, request.Turns.Count).ShouldBe(("Once", 5, 0));
    }

    [Fact]
    public async Task GetStreamingTextContents_Prompt_IsStreamed()
    {
        var engine = new ScriptedEngine(Script.Text("upon ", "a time"));

        var parts = await new LogQuantChatCompletionService(engine).GetStreamingTextContentsAsync("Once").ToListAsync();

        string.Concat(parts.Select(p => p.Text)).ShouldBe("upon a time");
        ShouldHaveAllMetadata(parts[^1].Metadata, "stop");
    }

    [Fact]
    public async Task GetTextContents_WithFunctions_IsAnError() =>
        await Should.ThrowAsync<NotSupportedException>(() => new LogQuantChatCompletionService(new ScriptedEngine()).GetTextContentsAsync(
            "Once", new PromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() }, new Kernel()));

    [Fact]
    public async Task GetChatMessageContents_Cancelled_EndsWithOperationCanceled()
    {
        using var cancellation = new CancellationTokenSource();
        var service = new LogQuantChatCompletionService(new ScriptedEngine(Script.Text("a", "b"))
        {
            BeforeUpdate = _ => cancellation.CancelAsync(),
        });

        await Should.ThrowAsync<OperationCanceledException>(() =>
            service.GetChatMessageContentsAsync(new ChatHistory("Hello"), cancellationToken: cancellation.Token));
    }

    [Fact]
    public async Task GetStreamingChatMessageContents_ReaderStopsEarly_EngineIsToldSo()
    {
        var engine = new ScriptedEngine(Script.Text("a", "b", "c"));

        await foreach (var part in new LogQuantChatCompletionService(engine).GetStreamingChatMessageContentsAsync(new ChatHistory("Hello")))
        {
            if (part.Content == "b")
                break;
        }

        engine.EndedRequests.ShouldBe(1);
    }

    [Fact]
    public async Task GetChatMessageContents_ManyAtOnce_DoNotDisturbEachOther()
    {
        var service = new LogQuantChatCompletionService(new ScriptedEngine([.. Enumerable.Range(0, 16).Select(_ => Script.Text("a", "b"))]));

        var answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => service.GetChatMessageContentAsync(new ChatHistory("Hello"))));

        answers.ShouldAllBe(a => a.Content == "ab");
        answers.Select(a => a.Metadata!["Id"]).Distinct().Count().ShouldBe(16);
    }
}
