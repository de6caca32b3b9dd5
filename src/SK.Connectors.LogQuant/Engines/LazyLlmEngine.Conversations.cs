using LocalLlm;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Engines;

/// <content>Conversations under names, of the engine once it is loaded. They pass the same gate as requests.</content>
internal sealed partial class LazyLlmEngine
{
    public Task<SavedConversation> SaveConversationAsync(string name, GenerationRequest conversation, CancellationToken cancellationToken = default) =>
        UseAsync((store, token) => store.SaveConversationAsync(name, conversation, token), "the conversation was saved", cancellationToken);

    public Task<SavedConversation?> RestoreConversationAsync(string name, CancellationToken cancellationToken = default) =>
        UseAsync((store, token) => store.RestoreConversationAsync(name, token), "the conversation was restored", cancellationToken);

    public Task<bool> DeleteConversationAsync(string name, CancellationToken cancellationToken = default) =>
        UseAsync((store, token) => store.DeleteConversationAsync(name, token), "the conversation was deleted", cancellationToken);

    public Task<IReadOnlyList<SavedConversation>> GetSavedConversationsAsync(CancellationToken cancellationToken = default) =>
        UseAsync((store, token) => store.GetSavedConversationsAsync(token), "the saved conversations were found", cancellationToken);

    private Task<T> UseAsync<T>(Func<IConversationStore, CancellationToken, Task<T>> use, string deed, CancellationToken cancellationToken) =>
        PassAsync(
            (engine, token) => use(
                engine as IConversationStore
                    ?? throw new NotSupportedException($"The engine is a {engine.GetType()}, which is no {nameof(IConversationStore)} and so cannot save conversations."),
                token),
            deed, cancellationToken);

    /// <summary>Does something with the loaded engine, unless the application stops or before it has.</summary>
    private async Task<T> PassAsync<T>(Func<ILlmEngine, CancellationToken, Task<T>> use, string deed, CancellationToken cancellationToken)
    {
        Gate.Enter();
        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Gate.Aborted);
            return await use(await LoadedAsync(stop.Token).ConfigureAwait(false), stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (Gate.Aborted.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new LocalLlmException($"The application was shut down before {deed} "
                + $"({nameof(LogQuantShutdownOptions)}.{nameof(LogQuantShutdownOptions.GracePeriod)} was over).", e);
        }
        finally
        {
            Gate.Leave();
        }
    }
}
