using System.Collections.Concurrent;
using System.Diagnostics;

namespace LocalLlm.Soak;

/// <summary>The clients of one engine, and who watches it.</summary>
/// <param name="engine">The engine.</param>
/// <param name="answers">Receives every answer that came to its end.</param>
/// <param name="totals">Counts what happened.</param>
internal sealed class SoakRound(LlmEngine engine, ConcurrentQueue<(GenerationRequest Request, Answer Answer)> answers, Totals totals)
{
    private readonly ConcurrentDictionary<string, float[]> vectors = [];
    private int turnsDone;
    private volatile bool hasPaused;

    /// <summary>Leads a conversation to its end.</summary>
    public async Task ConverseAsync((string System, List<PlannedTurn> Turns) conversation)
    {
        var history = new List<ChatTurn> { new(ChatRole.System, conversation.System) };
        foreach (var turn in conversation.Turns)
        {
            await Task.Delay(turn.DelayMilliseconds);
            history.Add(new ChatTurn(ChatRole.User, turn.Text));
            var request = new GenerationRequest
            {
                Turns = [.. history],
                MaxTokens = turn.MaxTokens,
                Constraint = turn.Constraint,
                Priority = turn.Priority,
                Sampling = turn.Seed is { } seed ? new SamplingOptions { Temperature = 1, Seed = seed } : SamplingOptions.Greedy,
                TopLogprobs = 4,
            };
            var answer = await ReadAsync(request, turn);
            Interlocked.Increment(ref turnsDone);
            if (answer is null)
            {
                history.RemoveAt(history.Count - 1); // the user thought better of it
                continue;
            }

            if (answer.End.Usage.CachedPromptTokens > 0)
                totals.CountCached();
            answers.Enqueue((request, answer));
            // The engine remembers in which tokens it wrote an answer; of a draw the solo run may have written another, so that one comes back
            // changed, as text alone.
            history.Add(new ChatTurn(ChatRole.Assistant, answer.Text + (turn.Seed is null ? "" : ".")));
        }
    }

    /// <summary>Embeds texts twice, beside the conversations.</summary>
    public async Task EmbedAsync(List<string> texts)
    {
        for (var time = 0; time < 2; time++)
        {
            var result = await engine.EmbedAsync(texts);
            foreach (var (text, vector) in texts.Zip(result.Vectors))
            {
                var known = vectors.GetOrAdd(text, vector.ToArray());
                var cosine = known.Zip(vector.ToArray(), (a, b) => (double)a * b).Sum();
                if (!(cosine > 0.999))
                    throw new SoakException($"A text's vectors differ from time to time: their cosine is {cosine}.");
            }

            totals.CountEmbedded();
            Interlocked.Increment(ref turnsDone);
            await Task.Delay(20);
        }
    }

    /// <summary>Waits for the clients, while the engine goes on and stays within its limits.</summary>
    public async Task WatchAsync(Task clients, TimeSpan stallTime)
    {
        var (progress, since) = ((0L, 0), Stopwatch.StartNew());
        while (!clients.IsCompleted)
        {
            var now = engine.GetStatistics();
            totals.See(now);
            hasPaused |= now.PausedRequests > 0;
            if (now.KvUsedBytes > now.KvLimitBytes || now.RunningRequests > now.MaxSequences)
                throw new SoakException($"Over the limits: {now}");
            if (progress != (now.GeneratedTokens, turnsDone))
                (progress, since) = ((now.GeneratedTokens, turnsDone), Stopwatch.StartNew());
            if (since.Elapsed > stallTime)
                throw new SoakException($"Nothing has happened for {stallTime}: {now}");
            await Task.WhenAny(clients, Task.Delay(2));
        }

        await clients;
    }

    /// <summary>With nobody left, what is used is what is retained.</summary>
    public async Task RequireAccountsAsync()
    {
        // Those who left without a word are found at the next step.
        var since = Stopwatch.StartNew();
        EngineStatistics now;
        do
        {
            now = engine.GetStatistics();
            if (now is { RunningRequests: 0, WaitingRequests: 0, PausedRequests: 0, KvBytes: 0, ReservedKvBytes: 0 } && now.KvUsedBytes == now.RetainedKvBytes)
                return;
            await Task.Delay(5);
        }
        while (since.Elapsed < TimeSpan.FromSeconds(30));
        throw new SoakException($"Nobody asks for anything, and the engine holds {now}");
    }

    // Null where the client did not want the end.
    private async Task<Answer?> ReadAsync(GenerationRequest request, PlannedTurn turn)
    {
        using var source = new CancellationTokenSource();
        if (turn is { Reading: Reading.Cancels, Updates: 0 })
            source.CancelAfter(TimeSpan.FromMilliseconds(turn.MaxTokens));
        var (text, tokens, updates) = ("", new List<TokenLogprob>(), 0);
        try
        {
            await foreach (var update in engine.GenerateAsync(request, source.Token))
            {
                updates++;
                if (update is TextDelta delta)
                    text += delta.Text;
                else if (update is LogprobUpdate logprob)
                    tokens.Add(logprob.Token);
                else if (update is GenerationCompleted end)
                    return new Answer(text, tokens, end);
                if (updates >= turn.Updates && turn.Reading == Reading.Cancels)
                    await source.CancelAsync();
                if (updates >= turn.Updates && turn.Reading == Reading.Leaves)
                {
                    totals.CountLeft();
                    return null;
                }

                if (turn.Reading == Reading.Slow && updates % 8 == 0)
                    await Task.Delay(3);
                for (var wait = 0; turn.Reading == Reading.Stuck && updates == 1 && !hasPaused && wait < 2000; wait++)
                    await Task.Delay(10);
            }
        }
        catch (OperationCanceledException) when (turn.Reading == Reading.Cancels)
        {
            totals.CountCancelled();
            return null;
        }

        throw new SoakException("A generation came to no end.");
    }
}
