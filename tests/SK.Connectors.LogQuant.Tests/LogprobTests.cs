using System.Text;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;
using SK.Connectors.LogQuant.Tests.RealEngine;

namespace SK.Connectors.LogQuant.Tests;

/// <summary>Log probabilities on their way to the users of all services.</summary>
public sealed class LogprobTests
{
    // The second token completes no text, the last one's text was withheld.
    private static readonly GenerationUpdate[] Answer = Script.Of(
        Logprob(1), new TextDelta("a"), Logprob(2), Logprob(3), new TextDelta("bc"), Logprob(4));

    private static readonly LogQuantPromptExecutionSettings Settings = new() { Logprobs = true, TopLogprobs = 2, MaxTokens = 16, Temperature = 0 };

    [Fact]
    public async Task GetResponse_Logprobs_AreAllOnTheResponse()
    {
        await using var engine = new ScriptedEngine(Answer);
        using var client = new LogQuantChatClient(engine);

        var response = await client.GetResponseAsync("Hello");

        Ids(response.AdditionalProperties).ShouldBe([1, 2, 3, 4]);
        Ids(response.Messages.Single().AdditionalProperties).ShouldBe([1, 2, 3, 4]);
        response.AdditionalProperties![LogQuantMetadata.KvBytes].ShouldBe(Script.Usage.KvBytes);
    }

    [Fact]
    public async Task GetStreamingResponse_Logprobs_ComeWithTheTextThatTheyComplete()
    {
        await using var engine = new ScriptedEngine(Answer);
        using var client = new LogQuantChatClient(engine);

        var updates = await client.GetStreamingResponseAsync("Hello").ToListAsync();

        updates.Select(u => (u.Text, string.Join(' ', Ids(u.AdditionalProperties)))).ShouldBe([("a", "1"), ("bc", "2 3"), ("", "4")]);
    }

    [Fact]
    public async Task GetChatMessageContents_Logprobs_AreInTheMetadata()
    {
        await using var engine = new ScriptedEngine(Answer, Answer);
        var service = new LogQuantChatCompletionService(engine);

        var whole = await service.GetChatMessageContentAsync("Hello", Settings);
        var parts = await service.GetStreamingChatMessageContentsAsync("Hello", Settings).ToListAsync();

        Ids(whole.Metadata).ShouldBe([1, 2, 3, 4]);
        parts.SelectMany(p => Ids(p.Metadata)).ShouldBe([1, 2, 3, 4]);
        engine.Requests.ShouldAllBe(r => r.TopLogprobs == 2);
    }

    [Fact]
    public async Task SeveralResults_Logprobs_AreWholeInEach()
    {
        await using var engine = new ScriptedEngine(Answer, Answer, Answer, Answer);
        var service = new LogQuantChatCompletionService(engine);
        var two = new LogQuantPromptExecutionSettings { Logprobs = true, ResultsPerPrompt = 2 };

        var messages = await service.GetChatMessageContentsAsync(new ChatHistory("Hello"), two);
        var texts = await ((ITextGenerationService)service).GetTextContentsAsync("Hello", two);

        messages.ShouldAllBe(m => Ids(m.Metadata).SequenceEqual(new[] { 1, 2, 3, 4 }));
        texts.ShouldAllBe(t => Ids(t.Metadata).SequenceEqual(new[] { 1, 2, 3, 4 }));
    }

    [Fact]
    public async Task GetChatMessageContents_NotAskedFor_HasNoSuchKey()
    {
        await using var engine = new ScriptedEngine(Script.Text("a"));

        var message = await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync("Hello");

        message.Metadata!.ShouldNotContainKey(LogQuantMetadata.ContentTokenLogProbabilities);
    }

    [Fact]
    public async Task AllServices_RealModel_SpellTheTextStreamedOrWhole()
    {
        var path = RealModels.RequireDemoModel();
        await using var engine = await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = path, Threads = 1 });
        var service = new LogQuantChatCompletionService(engine);

        var whole = await service.GetChatMessageContentAsync("Hello", Settings);
        var parts = await service.GetStreamingChatMessageContentsAsync("Hello", Settings).ToListAsync();
        var text = (await service.GetTextContentsAsync("Hello", Settings)).Single();
        var textParts = await service.GetStreamingTextContentsAsync("Hello", Settings).ToListAsync();

        Spelled(Tokens(whole.Metadata)).ShouldBe(whole.Content!.Trim());
        Same(parts.SelectMany(p => Tokens(p.Metadata)), Tokens(whole.Metadata));
        Spelled(Tokens(text.Metadata)).ShouldBe(text.Text!.Trim());
        Same(textParts.SelectMany(p => Tokens(p.Metadata)), Tokens(text.Metadata));
        Tokens(whole.Metadata).ShouldAllBe(t => t.Top.Count == 2 && t.Top[0].TokenId == t.TokenId);
    }

    private static void Same(IEnumerable<TokenLogprob> actual, IReadOnlyList<TokenLogprob> expected)
    {
        var list = actual.ToList();
        list.Select(t => t.TokenId).ShouldBe(expected.Select(t => t.TokenId));
        // The second answer continues the first one's cache, whose old tokens may be quantised by then.
        list.Zip(expected).ShouldAllBe(p => Math.Abs(p.First.Logprob - p.Second.Logprob) < 0.05);
    }

    private static string Spelled(IEnumerable<TokenLogprob> tokens) => Encoding.UTF8.GetString([.. tokens.SelectMany(t => t.Utf8Bytes.ToArray())]).Trim();

    private static LogprobUpdate Logprob(int id) => new(new TokenLogprob(id, $"t{id}", Encoding.UTF8.GetBytes($"t{id}"), -id, []));

    private static IEnumerable<int> Ids(IEnumerable<KeyValuePair<string, object?>>? properties) => Tokens(properties).Select(t => t.TokenId);

    private static IReadOnlyList<TokenLogprob> Tokens(IEnumerable<KeyValuePair<string, object?>>? properties) =>
        (properties ?? []).Where(p => p.Key == LogQuantMetadata.ContentTokenLogProbabilities).Select(p => (IReadOnlyList<TokenLogprob>)p.Value!)
            .SingleOrDefault() ?? [];
}
