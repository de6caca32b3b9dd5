using System.Runtime.CompilerServices;
using LocalLlm;

namespace SK.Connectors.LogQuant.Tests;

/// <summary>An engine that answers with prepared updates, one script a request, and records the requests.</summary>
internal sealed class ScriptedEngine(params IEnumerable<GenerationUpdate>[] scripts) : ILlmEngine, IConversationStore
{
    private int _next;

    public List<GenerationRequest> Requests { get; } = [];

    public bool IsDisposed { get; private set; }

    /// <summary>Awaited before every update.</summary>
    public Func<CancellationToken, Task>? BeforeUpdate { get; init; }

    public LlmModelInfo Model { get; } = new()
    {
        ModelId = "scripted",
        Architecture = "ScriptedForCausalLM",
        ContextTokens = 4096,
        ParameterCount = 1,
        Device = "cpu",
        KvBits = 2,
        KvBytesPerTokenFp16 = 1024,
    };

    public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        IEnumerable<GenerationUpdate> script;
        lock (Requests)
        {
            Requests.Add(request);
            if (_next >= scripts.Length)
                throw new LocalLlmException($"The script has {scripts.Length} answers; one more was asked for.");
            script = scripts[_next++];
        }
        try
        {
            foreach (var update in script)
            {
                await Task.Yield();
                if (BeforeUpdate is not null)
                    await BeforeUpdate(cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
                yield return update;
            }
        }
        finally
        {
            EndedRequests++;
        }
    }

    /// <summary>What it says of itself.</summary>
    public EngineStatistics? Statistics { get; set; }

    public EngineStatistics? GetStatistics() => Statistics;

    /// <summary>Requests whose answer came to its end, or that the reader gave up.</summary>
    public int EndedRequests { get; private set; }

    /// <summary>What was saved under each name; share it between engines for one spill directory.</summary>
    public Dictionary<string, GenerationRequest> Saved { get; init; } = [];

    /// <summary>Names that were restored.</summary>
    public List<string> Restored { get; } = [];

    public Task<SavedConversation> SaveConversationAsync(string name, GenerationRequest conversation, CancellationToken cancellationToken = default)
    {
        Saved[name] = conversation;
        return Task.FromResult(Describe(name));
    }

    public Task<SavedConversation?> RestoreConversationAsync(string name, CancellationToken cancellationToken = default)
    {
        if (!Saved.ContainsKey(name))
            return Task.FromResult<SavedConversation?>(null);
        Restored.Add(name);
        return Task.FromResult<SavedConversation?>(Describe(name));
    }

    public Task<bool> DeleteConversationAsync(string name, CancellationToken cancellationToken = default) => Task.FromResult(Saved.Remove(name));

    public Task<IReadOnlyList<SavedConversation>> GetSavedConversationsAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult<IReadOnlyList<SavedConversation>>([.. Saved.Keys.Select(Describe)]);

    private SavedConversation Describe(string name) => new(name, Saved[name].Turns.Count * 10, 1000);

    public ValueTask DisposeAsync()
    {
        IsDisposed = true;
        return ValueTask.CompletedTask;
    }
}

/// <summary>Scripts in short.</summary>
internal static class Script
{
    public static readonly GenerationUsage Usage = new()
    {
        PromptTokens = 100,
        CachedPromptTokens = 60,
        CompletionTokens = 11,
        ReasoningTokens = 4,
        KvBytes = 5_000,
        KvBytesFp16 = 40_000,
        QueueTime = TimeSpan.FromMilliseconds(12),
        TimeToFirstToken = TimeSpan.FromMilliseconds(30),
        DecodeTime = TimeSpan.FromSeconds(2),
    };

    public static GenerationUpdate[] Text(params string[] deltas) =>
        [.. deltas.Select(d => new TextDelta(d)), new GenerationCompleted(FinishReason.Stop, Usage)];

    public static GenerationUpdate[] Calls(params (string Id, string Name, string Arguments)[] calls) =>
        [.. calls.Select(c => new ToolCallUpdate(new ToolCall(c.Id, c.Name, c.Arguments))), new GenerationCompleted(FinishReason.ToolCalls, Usage)];

    public static GenerationUpdate[] Of(params GenerationUpdate[] updates) =>
        [.. updates, new GenerationCompleted(FinishReason.Stop, Usage)];
}
