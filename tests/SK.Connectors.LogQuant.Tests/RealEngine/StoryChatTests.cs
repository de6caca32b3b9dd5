using LocalLlm;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>The real engine under the connector, registered and loaded as an application does it.</summary>
public sealed class StoryChatTests
{
    private static readonly LogQuantPromptExecutionSettings Greedy = new() { Temperature = 0, MaxTokens = 24 };

    private static Kernel Load(StoryChatFolder folder, KvCacheKind kind = KvCacheKind.LogQuant) => Kernel.CreateBuilder()
        .AddLogQuantChatCompletion(o =>
        {
            o.ModelPath = folder.Path;
            o.KvCache.Kind = kind;
            o.KvCache.Window = 32;
            o.Threads = 1;
        }).Build();

    [Theory]
    [InlineData(KvCacheKind.LogQuant)]
    [InlineData(KvCacheKind.Dense)]
    public async Task InvokePrompt_Greedy_StreamedAndWholeAnswersAreTheSame(KvCacheKind kind)
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder, kind);
        await using var services = (ServiceProvider)kernel.Services;

        var whole = await kernel.InvokePromptAsync("Once upon a time", new KernelArguments(Greedy));
        var parts = await kernel.InvokePromptStreamingAsync<StreamingChatMessageContent>("Once upon a time", new KernelArguments(Greedy)).ToListAsync();

        string.Concat(parts.Select(p => p.Content)).ShouldBe(whole.ToString());
        whole.ToString().ShouldNotBeEmpty();
        parts.Count.ShouldBeGreaterThan(2);
        var usage = parts[^1].Metadata![LogQuantMetadata.Usage].ShouldBeOfType<UsageDetails>();
        usage.OutputTokenCount.ShouldBe(24);
        usage.TotalTokenCount.ShouldBe(usage.InputTokenCount + 24);
        parts[^1].Metadata![LogQuantMetadata.FinishReason].ShouldBe("length");
        parts[^1].Metadata![LogQuantMetadata.KvBytes].ShouldBeOfType<long>().ShouldBePositive();
        parts[^1].Metadata![LogQuantMetadata.ModelId].ShouldBe(Path.GetFileName(folder.Path));
        kernel.GetRequiredService<IChatCompletionService>().Attributes[LogQuantChatCompletionService.KvBitsKey].ShouldBe(kind == KvCacheKind.LogQuant ? 2 : 32);
    }

    [Fact]
    public async Task Chat_NextTurn_ContinuesTheCacheOfTheTurnBefore()
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder);
        await using var services = (ServiceProvider)kernel.Services;
        var chat = kernel.GetRequiredService<IChatCompletionService>();
        var history = new ChatHistory("You tell stories.");
        history.AddUserMessage("Once upon a time there was a girl named Lily. She liked to play in the park with her dog.");

        var first = await chat.GetChatMessageContentAsync(history, Greedy, kernel);
        history.Add(first);
        history.AddUserMessage("And then?");
        var second = await chat.GetChatMessageContentAsync(history, Greedy, kernel);

        first.Metadata![LogQuantMetadata.CachedPromptTokens].ShouldBe(0);
        var firstUsage = first.Metadata[LogQuantMetadata.Usage].ShouldBeOfType<UsageDetails>();
        second.Metadata![LogQuantMetadata.CachedPromptTokens].ShouldBeOfType<int>().ShouldBeGreaterThanOrEqualTo((int)firstUsage.InputTokenCount! - 1);
        second.Metadata[LogQuantMetadata.Usage].ShouldBeOfType<UsageDetails>().CachedInputTokenCount
            .ShouldBe((int)second.Metadata[LogQuantMetadata.CachedPromptTokens]!);
    }

    [Fact]
    public async Task TextGeneration_Prompt_IsContinuedWithoutTheTemplate()
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder);
        await using var services = (ServiceProvider)kernel.Services;

        var text = await kernel.GetRequiredService<ITextGenerationService>().GetTextContentAsync("Once upon a time", Greedy);
        var direct = new List<GenerationUpdate>();
        await foreach (var update in kernel.GetRequiredService<ILlmEngine>().GenerateAsync(
            new GenerationRequest { Prompt = "Once upon a time", MaxTokens = 24, Sampling = SamplingOptions.Greedy }))
            direct.Add(update);

        text.Text.ShouldBe(string.Concat(direct.OfType<TextDelta>().Select(d => d.Text)));
    }

    [Fact]
    public async Task Streaming_Cancelled_EndsAndLeavesTheServiceUsable()
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder);
        await using var services = (ServiceProvider)kernel.Services;
        using var cancellation = new CancellationTokenSource();

        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var part in kernel.InvokePromptStreamingAsync("Once upon a time", cancellationToken: cancellation.Token))
                await cancellation.CancelAsync();
        });

        (await kernel.InvokePromptAsync<string>("Once upon a time", new KernelArguments(Greedy))).ShouldNotBeNullOrEmpty();
    }

    [Fact]
    public async Task Agent_OverTheClient_AnswersAndRemembersItsSession()
    {
        using var folder = RealModels.RequireStoryChat();
        await using var services = new ServiceCollection().AddLogQuantChatClient(folder.Path).BuildServiceProvider();
        var agent = services.GetRequiredService<IChatClient>().AsAIAgent(
            new ChatClientAgentOptions { ChatOptions = new() { Instructions = "You tell stories.", Temperature = 0, MaxOutputTokens = 16 } });
        var session = await agent.CreateSessionAsync();

        var first = await agent.RunAsync("Once upon a time", session);
        var second = await agent.RunAsync("And then?", session);

        first.Text.ShouldNotBeEmpty();
        second.Usage!.InputTokenCount!.Value.ShouldBeGreaterThan(first.Usage!.InputTokenCount!.Value + 16);
        second.Usage.CachedInputTokenCount!.Value.ShouldBePositive();
    }

    [Fact]
    public async Task Chat_PromptLongerThanTheContext_IsAnError()
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder);
        await using var services = (ServiceProvider)kernel.Services;

        var error = await Should.ThrowAsync<ContextLengthException>(() =>
            kernel.InvokePromptAsync(string.Concat(Enumerable.Repeat("a big dog ", 400)), new KernelArguments(Greedy)));

        error.ContextTokens.ShouldBe(512);
    }

    [Fact]
    public async Task Chat_SettingOutOfRange_IsAnErrorOfTheEngine()
    {
        using var folder = RealModels.RequireStoryChat();
        var kernel = Load(folder);
        await using var services = (ServiceProvider)kernel.Services;

        await Should.ThrowAsync<ArgumentException>(() => kernel.InvokePromptAsync("Hi", new KernelArguments(new LogQuantPromptExecutionSettings { TopP = 3 })));
        await Should.ThrowAsync<ArgumentException>(() => kernel.InvokePromptAsync("Hi", new KernelArguments(new LogQuantPromptExecutionSettings { MaxTokens = 0 })));
    }

    [Fact]
    public async Task Load_FolderWithoutAModel_ErrorListsWhatIsMissing()
    {
        var empty = Directory.CreateTempSubdirectory("no-model-");
        try
        {
            var kernel = Kernel.CreateBuilder().AddLogQuantChatCompletion(empty.FullName).Build();
            await using var services = (ServiceProvider)kernel.Services;

            var error = await Should.ThrowAsync<ModelLoadException>(() => kernel.InvokePromptAsync("Hi"));

            error.Message.ShouldContain("config.json");
        }
        finally
        {
            empty.Delete();
        }
    }
}
