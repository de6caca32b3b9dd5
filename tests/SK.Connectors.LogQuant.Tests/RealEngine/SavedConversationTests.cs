using Agents.Plugins;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>Conversations saved under names, through the services that users have.</summary>
public sealed class SavedConversationTests : IDisposable
{
    private static readonly LogQuantPromptExecutionSettings Greedy = new()
    {
        Temperature = 0,
        MaxTokens = 200,
        FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(),
    };

    private readonly string _directory = Directory.CreateTempSubdirectory("saved-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task ChatCompletion_HistoryWithToolCalls_GoesOnInAnotherProcess()
    {
        var script = new DialogueGenerator(1, Split.Test, new DialogueOptions { Tell = 0, SmallTalk = 0, Recall = 0, Unknown = 0 }).Take(3);
        var history = new ChatHistory(DemoTools.SystemPrompt);
        SavedConversation saved;
        var kernel = NewKernel();
        await using ((ServiceProvider)kernel.Services)
        {
            var chat = kernel.GetRequiredService<IChatCompletionService>();
            foreach (var turn in script)
            {
                history.AddUserMessage(turn.UserText);
                history.Add(await chat.GetChatMessageContentAsync(history, Greedy, kernel));
            }

            saved = await chat.SaveConversationAsync("team", history, Greedy, kernel);
            saved.Tokens.ShouldBeGreaterThan(200);
        }

        var next = NewKernel();
        await using ((ServiceProvider)next.Services)
        {
            var chat = next.GetRequiredService<IChatCompletionService>();
            (await chat.RestoreConversationAsync("team")).ShouldBe(saved);
            history.AddUserMessage("Thank you.");
            var answer = await chat.GetChatMessageContentAsync(history, Greedy, next);
            ((int)answer.Metadata![LogQuantMetadata.CachedPromptTokens]!).ShouldBeGreaterThan(saved.Tokens / 2);
            (await chat.DeleteConversationAsync("team")).ShouldBeTrue();
            (await chat.RestoreConversationAsync("team")).ShouldBeNull();
        }
    }

    [Fact]
    public async Task ChatClient_Wrapped_SavesAndRestores()
    {
        await using var services = Services();
        using var client = services.GetRequiredService<IChatClient>().AsBuilder().UseFunctionInvocation().Build();
        List<ChatMessage> messages = [new(Microsoft.Extensions.AI.ChatRole.User, "Please remember the locker code for Mirvelo, it is falcon-417.")];
        var options = new ChatOptions { Temperature = 0, MaxOutputTokens = 60, Instructions = "You keep records." };
        messages.AddRange((await client.GetResponseAsync(messages, options)).Messages);

        var saved = await client.SaveConversationAsync("records", messages, options);

        (await client.RestoreConversationAsync("records")).ShouldBe(saved);
        (await client.GetService<IConversationStore>()!.GetSavedConversationsAsync()).ShouldBe([saved]);
        messages.Add(new(Microsoft.Extensions.AI.ChatRole.User, "What is the locker code for Mirvelo?"));
        var answer = await client.GetResponseAsync(messages, options);
        answer.Usage!.CachedInputTokenCount.ShouldBe(saved.Tokens);
        (await client.DeleteConversationAsync("records")).ShouldBeTrue();
    }

    [Fact]
    public async Task OtherEnginesAndServices_AreRefused()
    {
        using var client = new OtherClient();
        (await Should.ThrowAsync<NotSupportedException>(() => client.SaveConversationAsync("a", []))).Message.ShouldContain(nameof(OtherClient));
        var chat = client.AsChatCompletionService();
        (await Should.ThrowAsync<NotSupportedException>(() => chat.RestoreConversationAsync("a"))).Message.ShouldContain("LogQuantChatCompletionService");
        await using var services = new ServiceCollection().AddLogQuantChatClient(RealModels.RequireDemoModel()).BuildServiceProvider();
        (await Should.ThrowAsync<LocalLlmException>(() => services.GetRequiredService<IChatClient>().RestoreConversationAsync("a")))
            .Message.ShouldContain("KvCache.SpillDirectory");
    }

    private Kernel NewKernel()
    {
        var builder = Kernel.CreateBuilder();
        builder.AddLogQuantChatCompletion(Configure);
        var kernel = builder.Build();
        kernel.OpenWorkshop();
        return kernel;
    }

    private ServiceProvider Services() => new ServiceCollection().AddLogQuantChatClient(Configure).BuildServiceProvider();

    private void Configure(LlmEngineOptions options)
    {
        options.ModelPath = RealModels.RequireDemoModel();
        options.KvCache.SpillDirectory = _directory;
    }

    private sealed class OtherClient : IChatClient
    {
        public Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public void Dispose()
        {
        }
    }
}
