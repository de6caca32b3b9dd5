using LocalLlm.Scheduling;
using LocalLlm.Sessions;

namespace LocalLlm;

/// <content>Conversations under names. Both ways are a request that computes no answer, so that memory, limits and faults are those of requests.</content>
public sealed partial class LlmEngine : IConversationStore
{
    /// <inheritdoc/>
    public async Task<SavedConversation> SaveConversationAsync(string name, GenerationRequest conversation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(conversation);
        RequireHead();
        _ = SavedConversations(name);
        cancellationToken.ThrowIfCancellationRequested();
        var sequence = await ComputeAsync(prompts.EncodeConversation(conversation) with { SaveName = name }, cancellationToken).ConfigureAwait(false);
        var entry = sequence.Saved!;
        if (await entry.Written.WaitAsync(cancellationToken).ConfigureAwait(false) is not { } error)
            return Describe(entry);
        throw error is FileNotFoundException
            ? new LocalLlmException($"The conversation '{name}' was deleted before it was on the disk.", error)
            : new LocalLlmException($"The conversation '{name}' could not be saved: {error.Message} What was saved under the name before is unchanged.", error);
    }

    /// <inheritdoc/>
    public async Task<SavedConversation?> RestoreConversationAsync(string name, CancellationToken cancellationToken = default)
    {
        var saved = SavedConversations(name);
        cancellationToken.ThrowIfCancellationRequested();
        if (retainedConversations == 0)
            throw new LocalLlmException("KvCache.RetainedConversations is 0, so no conversation can wait in memory for its next request. Raise it.");
        RequireHead();
        if (saved.Find(name) is not { } entry)
            return null;
        await ComputeAsync(prompts.EncodeTokens(entry.Tokens), cancellationToken).ConfigureAwait(false);
        return Describe(entry);
    }

    /// <inheritdoc/>
    public Task<bool> DeleteConversationAsync(string name, CancellationToken cancellationToken = default)
    {
        var saved = SavedConversations(name);
        cancellationToken.ThrowIfCancellationRequested();
        if (saved.Find(name) is not { } entry)
            return Task.FromResult(false);
        saved.Delete(entry);
        return Task.FromResult(true);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<SavedConversation>> GetSavedConversationsAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult<IReadOnlyList<SavedConversation>>(
            [.. SpillOrThrow().Named().Select(Describe).OrderBy(c => c.Name, StringComparer.Ordinal)]);
    }

    private static SavedConversation Describe(SpilledCache entry) => new(entry.Header.Name!, entry.Tokens.Length, SpillFile.Bytes(entry.Header));

    private CacheSpill SavedConversations(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (!SpillFile.IsText(name))
            throw new ArgumentException("The name has half of a surrogate pair, which is no text.", nameof(name));
        if (SpillFile.NameBytes(name) > SpillFile.MaxNameBytes)
            throw new ArgumentException($"The name has {SpillFile.NameBytes(name)} bytes in UTF-8, at most {SpillFile.MaxNameBytes} are possible.", nameof(name));
        return SpillOrThrow();
    }

    private CacheSpill SpillOrThrow()
    {
        ObjectDisposedException.ThrowIf(isDisposed != 0, this);
        return spill ?? throw new LocalLlmException("KvCache.SpillDirectory is not set, so conversations cannot be saved. Name a directory for their files.");
    }

    private async Task<Sequence> ComputeAsync(SequenceRequest request, CancellationToken cancellationToken)
    {
        var sequence = new Sequence(request, prompts.Tokenizer);
        loop.Submit(sequence);
        var isEnded = false;
        try
        {
            await foreach (var item in sequence.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                isEnded |= item is EndEvent;
        }
        finally
        {
            if (!isEnded)
            {
                sequence.Cancel();
                loop.Wake();
            }
        }

        return sequence;
    }
}
