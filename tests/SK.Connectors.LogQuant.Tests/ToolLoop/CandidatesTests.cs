using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;
using Shouldly;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

public sealed class CandidatesTests
{
    private static readonly ChatHistory Hello = [new ChatMessageContent(AuthorRole.User, "Hello")];

    private static LogQuantPromptExecutionSettings Three => new() { ResultsPerPrompt = 3, Seed = 7 };

    private static ScriptedEngine Engine() => new(Script.Text("a", "b"), Script.Text("c"), Script.Text("d", "e"));

    [Fact]
    public async Task GetChatMessageContents_SeveralResults_AreAsManyAnswersWithSeedsCountedUp()
    {
        var engine = Engine();

        var answers = await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(Hello, Three);

        answers.Select(a => a.Content).ShouldBe(["ab", "c", "de"], ignoreOrder: true);
        answers[0].Content.ShouldBe("ab");
        answers.ShouldAllBe(a => (string?)a.Metadata!["FinishReason"] == "stop" && a.Metadata["Usage"] != null);
        engine.Requests.Select(r => r.Sampling!.Seed).ShouldBe([7, 8, 9], ignoreOrder: true);
        engine.Requests[0].Sampling!.Seed.ShouldBe(7);
    }

    [Fact]
    public async Task GetStreamingChatMessageContents_SeveralResults_JoinedByIndexAreTheAnswers()
    {
        var parts = await new LogQuantChatCompletionService(Engine()).GetStreamingChatMessageContentsAsync(Hello, Three).ToListAsync();

        var answers = parts.GroupBy(p => p.ChoiceIndex).OrderBy(g => g.Key).Select(g => string.Concat(g.Select(p => p.Content))).ToList();
        answers.Count.ShouldBe(3);
        answers.ShouldBe(["ab", "c", "de"], ignoreOrder: true);
        parts.SelectMany(p => p.Items.Select(i => i.ChoiceIndex == p.ChoiceIndex)).ShouldAllBe(same => same);
    }

    [Fact]
    public async Task GetTextContents_SeveralResults_AreAsManyTexts()
    {
        ITextGenerationService service = new LogQuantChatCompletionService(Engine());

        (await service.GetTextContentsAsync("Once", Three)).Select(t => t.Text).ShouldBe(["ab", "c", "de"], ignoreOrder: true);
    }

    [Fact]
    public async Task GetStreamingTextContents_SeveralResults_CarryTheirIndex()
    {
        ITextGenerationService service = new LogQuantChatCompletionService(Engine());

        var parts = await service.GetStreamingTextContentsAsync("Once", Three).ToListAsync();

        parts.Select(p => p.ChoiceIndex).Distinct().Order().ShouldBe([0, 1, 2]);
    }

    [Fact]
    public async Task GetChatMessageContents_SeveralResultsAndAutomaticCalls_IsAnError()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var settings = new LogQuantPromptExecutionSettings { ResultsPerPrompt = 2, FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };

        var error = await Should.ThrowAsync<ArgumentException>(() =>
            new LogQuantChatCompletionService(new ScriptedEngine()).GetChatMessageContentsAsync(Hello, settings, kernel));

        error.Message.ShouldContain("autoInvoke: false");
    }

    [Fact]
    public async Task GetChatMessageContents_SeveralResultsAndManualCalls_EachHasItsCalls()
    {
        var (kernel, _) = ClockPlugin.Kernel();
        var call = Script.Calls(("c1", "Clock-Time", """{"city":"Rome"}"""));
        var settings = new LogQuantPromptExecutionSettings { ResultsPerPrompt = 2, FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false) };

        var answers = await new LogQuantChatCompletionService(new ScriptedEngine(call, call)).GetChatMessageContentsAsync(Hello, settings, kernel);

        answers.Count.ShouldBe(2);
        answers.ShouldAllBe(a => FunctionCallContent.GetFunctionCalls(a).Single().FunctionName == "Time");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task SeveralResults_OneFails_TheErrorIsGivenAndTheOthersEnd(bool streaming)
    {
        // The second script is missing, so the engine refuses the second request.
        var engine = new ScriptedEngine(Script.Text("a", "b"));
        var service = new LogQuantChatCompletionService(engine);
        var settings = new LogQuantPromptExecutionSettings { ResultsPerPrompt = 2 };

        await Should.ThrowAsync<LocalLlmException>(async () =>
        {
            if (streaming)
                await service.GetStreamingChatMessageContentsAsync(Hello, settings).ToListAsync();
            else
                await service.GetChatMessageContentsAsync(Hello, settings);
        });

        engine.EndedRequests.ShouldBe(1);
    }

    [Fact]
    public async Task Streaming_ReaderStops_AllAnswersEnd()
    {
        var engine = new ScriptedEngine(
            Script.Text([.. Enumerable.Repeat("a", 1000)]), Script.Text([.. Enumerable.Repeat("b", 1000)]), Script.Text([.. Enumerable.Repeat("c", 1000)]))
        {
            BeforeUpdate = ct => Task.Delay(1, ct),
        };

        await foreach (var _ in new LogQuantChatCompletionService(engine).GetStreamingChatMessageContentsAsync(Hello, Three))
            break;

        engine.EndedRequests.ShouldBe(engine.Requests.Count);
    }
}
