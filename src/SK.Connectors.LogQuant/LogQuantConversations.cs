using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace SK.Connectors.LogQuant;

/// <summary>
/// Conversations under names: the KV cache of a conversation is saved in a file and comes back into memory later, also in another process, so that a
/// stored chat history or agent session goes on without being computed again. The messages stay with the caller; beside them it stores the name.
/// </summary>
/// <remarks>
/// This needs <see cref="KvCacheOptions.SpillDirectory"/>. See <see cref="IConversationStore"/> for what is saved, and for the errors. The clients and services
/// may be wrapped or decorated, as long as a wrapped client passes <see cref="IChatClient.GetService"/> on.
/// </remarks>
public static class LogQuantConversations
{
    /// <summary>Saves a conversation's cache, and waits until it is on the disk.</summary>
    /// <param name="client">A <see cref="LogQuantChatClient"/>, or a client around one.</param>
    /// <param name="name">The name; what was saved under it is replaced.</param>
    /// <param name="messages">The conversation up to now, the last answer included.</param>
    /// <param name="options">The options with which it is continued: instructions and tools are part of the conversation.</param>
    /// <param name="cancellationToken">Ends the computation or the wait.</param>
    public static Task<SavedConversation> SaveConversationAsync(
        this IChatClient client, string name, IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return Find(client).SaveConversationAsync(name, messages, options, cancellationToken);
    }

    /// <summary>Saves a conversation's cache, and waits until it is on the disk.</summary>
    /// <param name="service">A <see cref="LogQuantChatCompletionService"/>.</param>
    /// <param name="name">The name; what was saved under it is replaced.</param>
    /// <param name="chatHistory">The conversation up to now, the last answer included.</param>
    /// <param name="executionSettings">The settings with which it is continued: a system prompt and the functions are part of the conversation.</param>
    /// <param name="kernel">The kernel whose functions are offered.</param>
    /// <param name="cancellationToken">Ends the computation or the wait.</param>
    public static Task<SavedConversation> SaveConversationAsync(
        this IChatCompletionService service, string name, ChatHistory chatHistory, PromptExecutionSettings? executionSettings = null, Kernel? kernel = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chatHistory);
        return Find(service).SaveConversationAsync(name, chatHistory, executionSettings, kernel, cancellationToken);
    }

    /// <summary>Brings a saved conversation's cache into memory, where its next request finds it.</summary>
    /// <param name="client">A <see cref="LogQuantChatClient"/>, or a client around one.</param>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Null if none is saved under the name for this model and this format of the cache.</returns>
    public static Task<SavedConversation?> RestoreConversationAsync(this IChatClient client, string name, CancellationToken cancellationToken = default) =>
        Find(client).Conversations.RestoreConversationAsync(name, cancellationToken);

    /// <summary>Brings a saved conversation's cache into memory, where its next request finds it.</summary>
    /// <param name="service">A <see cref="LogQuantChatCompletionService"/>.</param>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Null if none is saved under the name for this model and this format of the cache.</returns>
    public static Task<SavedConversation?> RestoreConversationAsync(
        this IChatCompletionService service, string name, CancellationToken cancellationToken = default) =>
        Find(service).Client.RestoreConversationAsync(name, cancellationToken);

    /// <summary>Deletes a saved conversation's file.</summary>
    /// <param name="client">A <see cref="LogQuantChatClient"/>, or a client around one.</param>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait for the engine.</param>
    /// <returns>False if none is saved under the name.</returns>
    public static Task<bool> DeleteConversationAsync(this IChatClient client, string name, CancellationToken cancellationToken = default) =>
        Find(client).Conversations.DeleteConversationAsync(name, cancellationToken);

    /// <summary>Deletes a saved conversation's file.</summary>
    /// <param name="service">A <see cref="LogQuantChatCompletionService"/>.</param>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the wait for the engine.</param>
    /// <returns>False if none is saved under the name.</returns>
    public static Task<bool> DeleteConversationAsync(this IChatCompletionService service, string name, CancellationToken cancellationToken = default) =>
        Find(service).Client.DeleteConversationAsync(name, cancellationToken);

    private static LogQuantChatClient Find(IChatClient client)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client.GetService<LogQuantChatClient>()
            ?? throw new NotSupportedException($"The client is a {client.GetType()}, which is no {nameof(LogQuantChatClient)} and has none inside.");
    }

    private static LogQuantChatCompletionService Find(IChatCompletionService service)
    {
        ArgumentNullException.ThrowIfNull(service);
        return service as LogQuantChatCompletionService
            ?? throw new NotSupportedException($"The service is a {service.GetType()}, which is no {nameof(LogQuantChatCompletionService)}.");
    }
}
