using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>Several answers to one prompt, generated side by side.</summary>
internal static class Candidates
{
    public const int Max = 128;

    /// <summary>How many answers are wanted; one where functions are called automatically, since only one history can go on.</summary>
    /// <exception cref="ArgumentException">The number is out of range, or does not go with the functions.</exception>
    public static int Count(LogQuantPromptExecutionSettings settings, FunctionOffer offer)
    {
        var count = settings.ResultsPerPrompt ?? 1;
        if (count is < 1 or > Max)
            throw new ArgumentException($"results_per_prompt is {count}; it must be 1 to {Max}.", nameof(settings));
        if (count > 1 && offer.AutoInvoke)
            throw new ArgumentException($"results_per_prompt is {count}, but functions are called automatically, which only one answer can go on from. "
                + $"Set it to 1, or make the {nameof(FunctionChoiceBehavior)} with autoInvoke: false.", nameof(settings));
        return count;
    }

    /// <summary>
    /// The parts of all answers as they come, each with its answer's index. The first answer's first part means that the prompt is in the
    /// KV cache; the others start then and share it. Where there is a seed, an answer's is the seed plus its index.
    /// </summary>
    public static async IAsyncEnumerable<(int Index, ChatResponseUpdate Update)> StreamAsync(
        IChatClient client, IReadOnlyList<ChatMessage> messages, Func<ChatOptions> options, int count,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var parts = Channel.CreateUnbounded<(int, ChatResponseUpdate)>();
        var prompt = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        async Task AnswerAsync(int index)
        {
            try
            {
                if (index > 0)
                    await prompt.Task.WaitAsync(stop.Token).ConfigureAwait(false);
                var own = options();
                own.Seed += index;
                await foreach (var update in client.GetStreamingResponseAsync(messages, own, stop.Token).ConfigureAwait(false))
                {
                    parts.Writer.TryWrite((index, update));
                    prompt.TrySetResult();
                }
            }
            catch (Exception e)
            {
                // The first failure is what the reader gets; the others end with it.
                if (parts.Writer.TryComplete(e))
                    await stop.CancelAsync().ConfigureAwait(false);
            }
        }

        var answers = Task.WhenAll(Enumerable.Range(0, count).Select(AnswerAsync));
        var end = answers.ContinueWith(_ => parts.Writer.TryComplete(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        try
        {
            await foreach (var part in parts.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
                yield return part;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await end.ConfigureAwait(false);
        }
    }

    /// <summary>All answers, whole and in order.</summary>
    public static async Task<IReadOnlyList<ChatResponse>> GetAsync(
        IChatClient client, IReadOnlyList<ChatMessage> messages, Func<ChatOptions> options, int count, CancellationToken cancellationToken)
    {
        if (count == 1)
            return [await client.GetResponseAsync(messages, options(), cancellationToken).ConfigureAwait(false)];
        var updates = Enumerable.Range(0, count).Select(_ => new List<ChatResponseUpdate>()).ToArray();
        await foreach (var (index, update) in StreamAsync(client, messages, options, count, cancellationToken).ConfigureAwait(false))
            updates[index].Add(update);
        return [.. updates.Select(ResponseMapper.Join)];
    }
}
