using System.Text;

namespace LocalLlm.Tests;

/// <summary>Conversations saved under names, on the demo model.</summary>
public sealed class ConversationStoreTests : IDisposable
{
    private static readonly ChatTurn[] Told =
    [
        .. Enumerable.Range(0, 30).SelectMany(i => (ChatTurn[])
            [new ChatTurn(ChatRole.User, $"Please remember number {i}, it is {i * 7919 % 1000}."), new ChatTurn(ChatRole.Assistant, $"I will remember number {i}.")]),
    ];

    private readonly string directory = Directory.CreateTempSubdirectory("named-").FullName;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.StreamingQuant)]
    [InlineData(KvCacheKind.LogQuant)]
    public async Task Restore_InAnotherProcess_GoesOnFromMemory(KvCacheKind kind)
    {
        var first = Ask(Told, "What is number 3?");
        SavedConversation saved;
        ChatTurn[] next;
        string expected;
        await using (var engine = await LoadAsync(kind))
        {
            var (text, end) = await engine.ReadAsync(first);
            ChatTurn[] turns = [.. first.Turns, new ChatTurn(ChatRole.Assistant, text)];
            saved = await engine.SaveConversationAsync("alice", new GenerationRequest { Turns = turns }, Cancellation);
            saved.Name.ShouldBe("alice");
            saved.Tokens.ShouldBeGreaterThanOrEqualTo(end.Usage.PromptTokens);
            new FileInfo(Directory.GetFiles(directory, "name-*").ShouldHaveSingleItem()).Length.ShouldBe(saved.Bytes);
            next = [.. turns, new ChatTurn(ChatRole.User, "And what is number 7?")];
            (expected, var usage) = await engine.ReadAsync(Ask(next));
            usage.Usage.CachedPromptTokens.ShouldBe(saved.Tokens); // what was saved is retained as well
        }

        foreach (var other in Directory.GetFiles(directory, "tokens-*"))
            File.Delete(other);
        await using var restarted = await LoadAsync(kind);
        restarted.GetStatistics().RetainedCaches.ShouldBe(0);
        (await restarted.GetSavedConversationsAsync(Cancellation)).ShouldBe([saved]);
        (await restarted.RestoreConversationAsync("alice", Cancellation)).ShouldBe(saved);
        restarted.GetStatistics().RetainedCaches.ShouldBe(1);

        // From memory: the file is not needed any more.
        (await restarted.DeleteConversationAsync("alice", Cancellation)).ShouldBeTrue();
        Directory.GetFiles(directory).ShouldBeEmpty();
        var (again, last) = await restarted.ReadAsync(Ask(next));
        again.ShouldBe(expected);
        last.Usage.CachedPromptTokens.ShouldBe(saved.Tokens);
    }

    [Fact]
    public async Task Save_AConversationThatNoCacheHolds_IsComputed()
    {
        await using var engine = await LoadAsync();
        var saved = await engine.SaveConversationAsync("new", new GenerationRequest { Turns = Told }, Cancellation);

        var (_, end) = await engine.ReadAsync(Ask(Told, "What is number 3?"));

        saved.Tokens.ShouldBeGreaterThan(300);
        end.Usage.CachedPromptTokens.ShouldBe(saved.Tokens);
    }

    [Fact]
    public async Task Save_TheSameName_IsReplaced_AndOthersStay()
    {
        await using var engine = await LoadAsync();
        var first = await engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told[..20] }, Cancellation);
        var other = await engine.SaveConversationAsync("b", new GenerationRequest { Turns = Told[..30] }, Cancellation);
        var second = await engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation);

        second.Tokens.ShouldBeGreaterThan(first.Tokens);
        (await engine.GetSavedConversationsAsync(Cancellation)).ShouldBe([second, other]);
        (await engine.DeleteConversationAsync("a", Cancellation)).ShouldBeTrue();
        (await engine.DeleteConversationAsync("a", Cancellation)).ShouldBeFalse();
        (await engine.RestoreConversationAsync("a", Cancellation)).ShouldBeNull();
        (await engine.GetSavedConversationsAsync(Cancellation)).ShouldBe([other]);
    }

    [Fact]
    public async Task Restore_AnotherFormatOfTheCache_IsNotThere()
    {
        await using (var engine = await LoadAsync())
            await engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation);

        await using var other = await LoadAsync(window: 128);
        (await other.GetSavedConversationsAsync(Cancellation)).ShouldBeEmpty();
        (await other.RestoreConversationAsync("a", Cancellation)).ShouldBeNull();
        (await other.SaveConversationAsync("a", new GenerationRequest { Turns = Told[..2] }, Cancellation)).Name.ShouldBe("a");
        Directory.GetFiles(directory, "name-*").Length.ShouldBe(2);
    }

    [Fact]
    public async Task Restore_ADamagedFile_IsComputedAnew()
    {
        SavedConversation saved;
        await using (var engine = await LoadAsync())
            saved = await engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation);
        await using var restarted = await LoadAsync();
        foreach (var file in Directory.GetFiles(directory)) // the cache left memory at the end as well
        {
            var bytes = await File.ReadAllBytesAsync(file, Cancellation);
            bytes[^1000] ^= 1;
            await File.WriteAllBytesAsync(file, bytes, Cancellation);
        }

        (await restarted.RestoreConversationAsync("a", Cancellation)).ShouldBe(saved);

        (await restarted.ReadAsync(Ask(Told, "What is number 3?"))).End.Usage.CachedPromptTokens.ShouldBe(saved.Tokens);
    }

    [Fact]
    public async Task Save_TheDirectoryIsGone_IsAClearError_AndTheEngineGoesOn()
    {
        await using var engine = await LoadAsync();
        Directory.Delete(directory, recursive: true);
        try
        {
            var error = await Should.ThrowAsync<LocalLlmException>(() =>
                engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation));

            error.Message.ShouldContain("'a' could not be saved");
            (await engine.GetSavedConversationsAsync(Cancellation)).ShouldBeEmpty();
            (await engine.ReadAsync(Ask(Told, "What is number 3?"))).End.Usage.CachedPromptTokens.ShouldBeGreaterThan(300);
        }
        finally
        {
            Directory.CreateDirectory(directory);
        }
    }

    [Fact]
    public async Task Save_WhatCannotBe_IsRefused()
    {
        await using (var engine = await LoadAsync())
        {
            var conversation = new GenerationRequest { Turns = Told };
            await Should.ThrowAsync<ArgumentException>(() => engine.SaveConversationAsync("", conversation, Cancellation));
            await Should.ThrowAsync<ArgumentException>(() => engine.SaveConversationAsync("a", new GenerationRequest(), Cancellation));
            (await Should.ThrowAsync<ArgumentException>(() => engine.SaveConversationAsync(new string('é', 2049), conversation, Cancellation)))
                .Message.ShouldContain("4098");
            await Should.ThrowAsync<OperationCanceledException>(() => engine.SaveConversationAsync("a", conversation, new CancellationToken(canceled: true)));
            await Should.ThrowAsync<ContextLengthException>(() => engine.SaveConversationAsync(
                "a", new GenerationRequest { Turns = [new ChatTurn(ChatRole.User, string.Concat(Enumerable.Repeat("word ", 20_000)))] }, Cancellation));
            (await Should.ThrowAsync<ArgumentException>(() => engine.SaveConversationAsync("a\ud800", conversation, Cancellation))).Message.ShouldContain("surrogate");
            (await engine.SaveConversationAsync(new string('é', 2048), conversation, Cancellation)).Name.Length.ShouldBe(2048);
        }

        await using (var small = await LoadAsync(spillBytes: 10_000))
        {
            (await Should.ThrowAsync<LocalLlmException>(() => small.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation)))
                .Message.ShouldContain("KvCache.SpillBytes");
        }

        await using var plain = await LlmEngine.LoadAsync(Options(null), cancellationToken: Cancellation);
        (await Should.ThrowAsync<LocalLlmException>(() => plain.RestoreConversationAsync("a", Cancellation))).Message.ShouldContain("KvCache.SpillDirectory");
        (await Should.ThrowAsync<LocalLlmException>(() => plain.GetSavedConversationsAsync(Cancellation))).Message.ShouldContain("KvCache.SpillDirectory");
        await plain.DisposeAsync();
        await Should.ThrowAsync<ObjectDisposedException>(() => plain.DeleteConversationAsync("a", Cancellation));
    }

    [Fact]
    public async Task Restore_NoConversationsAreRetained_IsAClearError()
    {
        await using var engine = await LoadAsync(retained: 0);
        (await engine.SaveConversationAsync("a", new GenerationRequest { Turns = Told }, Cancellation)).Tokens.ShouldBeGreaterThan(300);
        (await Should.ThrowAsync<LocalLlmException>(() => engine.RestoreConversationAsync("a", Cancellation))).Message.ShouldContain("RetainedConversations");
    }

    [Theory]
    [InlineData(KvCacheKind.Dense)]
    [InlineData(KvCacheKind.StreamingQuant)]
    public async Task Save_ABeginningThatALongerConversationHolds_LeavesThatOneInMemory(KvCacheKind kind)
    {
        await using var engine = await LoadAsync(kind);
        var request = Ask(Told[..4], "What is number 1?");
        var (text, _) = await engine.ReadAsync(request);
        ChatTurn[] turns = [.. request.Turns, new ChatTurn(ChatRole.Assistant, text)];

        await engine.SaveConversationAsync("base", new GenerationRequest { Turns = Told[..2] }, Cancellation);
        await engine.RestoreConversationAsync("base", Cancellation);

        var (_, end) = await engine.ReadAsync(Ask(turns, "And what is number 0?"));
        end.Usage.CachedPromptTokens.ShouldBeGreaterThan(end.Usage.PromptTokens / 2);
    }

    [Fact]
    public async Task Save_TheLastAnswerIsChangedAfterwards_TheConversationGoesOnFromItsPrompt()
    {
        await using var engine = await LoadAsync();
        var request = Ask(Told, "What is number 3?");
        var (text, end) = await engine.ReadAsync(request);
        ChatTurn[] turns = [.. request.Turns, new ChatTurn(ChatRole.Assistant, text)];
        // More than the cache can go back by.
        var draft = new ChatTurn(ChatRole.User, string.Concat(Enumerable.Repeat("And please remember this too. ", 40)));
        await engine.SaveConversationAsync("a", new GenerationRequest { Turns = [.. turns, draft] }, Cancellation);

        turns[^1] = new ChatTurn(ChatRole.Assistant, "I do not know.");
        var (_, next) = await engine.ReadAsync(Ask(turns, "And what is number 7?"));

        next.Usage.CachedPromptTokens.ShouldBeGreaterThanOrEqualTo(end.Usage.PromptTokens);
    }

    [Fact]
    public async Task Save_ManyAtOnce_BesideGenerations_AllAreThere()
    {
        await using var engine = await LoadAsync();
        var answers = Enumerable.Range(0, 4).Select(i => engine.ReadAsync(Ask(Told[..(4 + (2 * i))], "What is number 1?"))).ToList();
        var saves = Enumerable.Range(0, 12).Select(i =>
            engine.SaveConversationAsync($"n{i:D2}", new GenerationRequest { Turns = Told[..(2 + (2 * i))] }, Cancellation)).ToList();

        var saved = await Task.WhenAll(saves);
        await Task.WhenAll(answers);

        (await engine.GetSavedConversationsAsync(Cancellation)).ShouldBe(saved);
        await Task.WhenAll(saved.Select(s => engine.RestoreConversationAsync(s.Name, Cancellation)));
    }

    private static GenerationRequest Ask(ChatTurn[] turns, string? question = null) => new()
    {
        Turns = question is null ? turns : [.. turns, new ChatTurn(ChatRole.User, question)],
        MaxTokens = 30,
        Sampling = SamplingOptions.Greedy,
    };

    private static LlmEngineOptions Options(KvCacheOptions? cache) => new()
    {
        ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"),
        KvCache = cache ?? new KvCacheOptions(),
        Threads = 1,
    };

    private Task<LlmEngine> LoadAsync(KvCacheKind kind = KvCacheKind.StreamingQuant, int window = 64, int retained = 8, long? spillBytes = null) =>
        LlmEngine.LoadAsync(Options(new KvCacheOptions
        {
            Kind = kind,
            Window = window,
            RetainedConversations = retained,
            SpillDirectory = directory,
            SpillBytes = spillBytes,
        }));
}
