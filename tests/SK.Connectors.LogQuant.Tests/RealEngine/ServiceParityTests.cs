using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>The three services over one engine with the model that ships: what a setting does, it does in each of them, streamed or whole.</summary>
public sealed class ServiceParityTests : IAsyncLifetime
{
    private const string Question = "Hello! What can you do?";
    private ServiceProvider _services = null!;

    public ValueTask InitializeAsync()
    {
        var options = new LlmEngineOptions { ModelPath = RealModels.RequireDemoModel(), Threads = 1 };
        _services = new ServiceCollection().AddLogQuantChatCompletion(options).AddLogQuantChatClient(options).BuildServiceProvider();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        if (_services is not null)
            await _services.DisposeAsync();
    }

    [Fact]
    public async Task Seed_TheSame_GivesTheSameTextAloneAndBesideOthers()
    {
        var settings = new LogQuantPromptExecutionSettings { Temperature = 1.5, Seed = 42, MaxTokens = 24 };
        var alone = await AskAsync(settings);

        var together = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => AskAsync(i % 2 == 0
            ? settings
            : new LogQuantPromptExecutionSettings { Temperature = 1.5, Seed = 1000 + i, MaxTokens = 24 })));

        for (var i = 0; i < together.Length; i++)
        {
            if (i % 2 == 0)
                together[i].ShouldBe(alone);
        }
        // Not every seed gives another text, but three of them do.
        together.Distinct().Count().ShouldBeGreaterThan(1);
    }

    [Fact]
    public async Task StopSequence_InEachService_EndsTheTextBeforeIt()
    {
        var greedy = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 24 };
        var chatText = await AskAsync(greedy);
        var promptText = await CompleteAsync(greedy);
        var (chatStop, promptStop) = (Middle(chatText), Middle(promptText));

        var chatSettings = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 24, StopSequences = [chatStop] };
        var promptSettings = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 24, StopSequences = [promptStop] };

        (await AskAsync(chatSettings)).ShouldBe(Before(chatText, chatStop));
        (await CompleteAsync(promptSettings)).ShouldBe(Before(promptText, promptStop));
        var response = await Client.GetResponseAsync(Question, new ChatOptions { Temperature = 0, MaxOutputTokens = 24, StopSequences = [chatStop] });
        response.Text.ShouldBe(Before(chatText, chatStop));
        response.FinishReason.ShouldBe(ChatFinishReason.Stop);

        static string Middle(string text) => text.Substring(text.Length / 2, 3);

        static string Before(string text, string stop) => text[..text.IndexOf(stop, StringComparison.Ordinal)];
    }

    [Fact]
    public async Task TextGeneration_StreamedAndWhole_AreTheSameTextAndMetadata()
    {
        var settings = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 16 };
        var service = _services.GetRequiredService<ITextGenerationService>();
        // The first request fills the cache, so that the two to compare find the same.
        await service.GetTextContentsAsync(Question, settings);

        var whole = (await service.GetTextContentsAsync(Question, settings)).ShouldHaveSingleItem();
        var parts = await service.GetStreamingTextContentsAsync(Question, settings).ToListAsync();

        string.Concat(parts.Select(p => p.Text)).ShouldBe(whole.Text);
        parts.ShouldAllBe(p => p.ModelId == whole.ModelId);
        parts.Select(p => p.Metadata![LogQuantMetadata.Id]).Distinct().ShouldHaveSingleItem();
        parts.SkipLast(1).ShouldAllBe(p => p.Metadata![LogQuantMetadata.Usage] == null && p.Metadata[LogQuantMetadata.FinishReason] == null);
        var last = parts[^1].Metadata.ShouldNotBeNull();
        last.Keys.ShouldBe(whole.Metadata.ShouldNotBeNull().Keys, ignoreOrder: true);
        string[] equal = [LogQuantMetadata.FinishReason, LogQuantMetadata.CachedPromptTokens, LogQuantMetadata.KvBytes, LogQuantMetadata.ModelId];
        foreach (var key in equal)
            last[key].ShouldBe(whole.Metadata[key], key);
        ((UsageDetails)last[LogQuantMetadata.Usage]!).OutputTokenCount
            .ShouldBe(((UsageDetails)whole.Metadata[LogQuantMetadata.Usage]!).OutputTokenCount);
    }

    [Fact]
    public async Task Usage_OfEachService_CountsTheSameTokens()
    {
        var settings = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 8 };

        var message = await _services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync(Question, settings);
        var response = await Client.GetResponseAsync(Question, new ChatOptions { Temperature = 0, MaxOutputTokens = 8 });

        var usage = message.Metadata![LogQuantMetadata.Usage].ShouldBeOfType<UsageDetails>();
        response.Text.ShouldBe(message.Content);
        (response.Usage!.InputTokenCount, response.Usage.OutputTokenCount, response.Usage.TotalTokenCount)
            .ShouldBe((usage.InputTokenCount, usage.OutputTokenCount, usage.TotalTokenCount));
        usage.InputTokenCount.ShouldNotBeNull().ShouldBeGreaterThan(0);
        usage.OutputTokenCount.ShouldNotBeNull().ShouldBeInRange(1, 8);
    }

    [Fact]
    public async Task GetStatistics_AfterAnAnswer_TellTheRetainedCache()
    {
        var engine = _services.GetRequiredService<ILlmEngine>();
        engine.GetStatistics().ShouldBeNull("nothing is loaded yet");

        var text = await AskAsync(new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 8 });

        text.ShouldNotBeEmpty();
        // The loop publishes its figures when it goes idle, a moment after the answer's end.
        while (engine.GetStatistics() is { RunningRequests: > 0 } or { RetainedKvBytes: 0 })
            await Task.Delay(5, TestContext.Current.CancellationToken);
        var statistics = engine.GetStatistics().ShouldNotBeNull();
        statistics.GeneratedTokens.ShouldBeInRange(1, 8);
        statistics.RetainedCaches.ShouldBeGreaterThan(0);
        (statistics.RunningRequests, statistics.WaitingRequests, statistics.IsStopped).ShouldBe((0, 0, false));
    }

    private IChatClient Client => _services.GetRequiredService<IChatClient>();

    private async Task<string> AskAsync(LogQuantPromptExecutionSettings settings) =>
        (await _services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync(Question, settings)).Content!;

    private async Task<string> CompleteAsync(LogQuantPromptExecutionSettings settings) =>
        (await _services.GetRequiredService<ITextGenerationService>().GetTextContentsAsync(Question, settings)).Single().Text!;
}
