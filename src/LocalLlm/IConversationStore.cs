namespace LocalLlm;

/// <summary>
/// An engine that keeps conversations under names: the KV cache of a conversation goes to a file in <see cref="KvCacheOptions.SpillDirectory"/> and
/// comes back from it, also in another process. The messages stay with the caller, who sends them with the next request as ever. Safe for concurrent use.
/// </summary>
/// <remarks>
/// Idle conversations go to that directory and are found there by themselves. A name adds that it happens now, that the file stays until it is deleted (it
/// counts towards <see cref="KvCacheOptions.SpillBytes"/>, but is not what leaves where that is reached), and that the cache can be in memory before the
/// next request comes. Names belong to a model and a format of the cache: another one has names of its own in the same directory.
/// </remarks>
public interface IConversationStore
{
    /// <summary>
    /// Saves the cache of a conversation and waits until it is on the disk. What no cache holds of it is computed first, in line with other requests;
    /// after an answer that is next to nothing.
    /// </summary>
    /// <param name="name">The name; a conversation already saved under it is replaced. Not empty, at most 4,096 bytes in UTF-8.</param>
    /// <param name="conversation">
    /// The conversation as it will be continued: its turns up to now, the last answer included, and the tools and template variables that are sent with it. What
    /// concerns the answer only (sampling, constraints, limits) has no effect.
    /// </param>
    /// <param name="cancellationToken">Ends the computation or the wait.</param>
    /// <exception cref="ArgumentException">The name or the conversation is wrong.</exception>
    /// <exception cref="ContextLengthException">The conversation does not fit the model's context.</exception>
    /// <exception cref="LocalLlmException">There is no spill directory, the file cannot be written, or the engine failed or is busy.</exception>
    Task<SavedConversation> SaveConversationAsync(string name, GenerationRequest conversation, CancellationToken cancellationToken = default);

    /// <summary>
    /// Brings a saved conversation's cache into memory, where its next request finds it. It waits for room as a request does. Where the file is damaged,
    /// that is logged and the cache is computed anew.
    /// </summary>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Null if none is saved under the name for this model and this format of the cache.</returns>
    /// <exception cref="ArgumentException">The name is wrong.</exception>
    /// <exception cref="LocalLlmException">There is no spill directory, no conversations are retained, or the engine failed or is busy.</exception>
    Task<SavedConversation?> RestoreConversationAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Deletes a saved conversation's file. What memory holds of the conversation stays there as long as that of others.</summary>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait for the engine.</param>
    /// <returns>False if none is saved under the name.</returns>
    /// <exception cref="ArgumentException">The name is wrong.</exception>
    /// <exception cref="LocalLlmException">There is no spill directory.</exception>
    Task<bool> DeleteConversationAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>The saved conversations of this model and this format of the cache, by name.</summary>
    /// <param name="cancellationToken">Ends the wait for the engine.</param>
    /// <exception cref="LocalLlmException">There is no spill directory.</exception>
    Task<IReadOnlyList<SavedConversation>> GetSavedConversationsAsync(CancellationToken cancellationToken = default);
}

/// <summary>A conversation whose cache is in a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Tokens">Tokens that the cache holds.</param>
/// <param name="Bytes">Bytes of the file.</param>
public sealed record SavedConversation(string Name, int Tokens, long Bytes);
