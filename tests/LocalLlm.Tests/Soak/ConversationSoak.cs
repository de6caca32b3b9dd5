using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using TorchSharp;

namespace LocalLlm.Soak;

/// <summary>How a soak runs.</summary>
internal sealed record SoakOptions
{
    /// <summary>The model's folder.</summary>
    public required string ModelPath { get; init; }

    /// <summary>From which everything random follows, but for the order in which threads run.</summary>
    public required int Seed { get; init; }

    /// <summary>For how long another round is begun; the first four are run whatever they take.</summary>
    public TimeSpan Time { get; init; }

    /// <summary>Conversations of a round, all of which begin at once.</summary>
    public int Conversations { get; init; } = 90;

    /// <summary>Memory for all caches; six times that where they are dense.</summary>
    public long MemoryBytes { get; init; } = 6 << 20;

    /// <summary>Threads of the engine.</summary>
    public int Threads { get; init; } = Math.Min(4, Environment.ProcessorCount);

    /// <summary>Told of every round.</summary>
    public Action<string> Log { get; init; } = _ => { };
}

/// <summary>
/// Hundreds of conversations of random shape in memory for a few, round after round. After each: no answer but the one alone, nothing left in
/// memory, no tensor,
/// and a process that does not grow. (Over many rounds the C library keeps some memory for each thread that ever was; with MALLOC_ARENA_MAX=1 it
/// does not.)
/// </summary>
internal sealed class ConversationSoak(SoakOptions options)
{
    private static readonly TimeSpan StallTime = TimeSpan.FromMinutes(2);
    private static readonly KvCacheKind[] Kinds = [KvCacheKind.StreamingQuant, KvCacheKind.LogQuant, KvCacheKind.Dense, KvCacheKind.HuggingFaceKivi];

    private readonly Totals totals = new();
    private int round;

    /// <summary>Runs it.</summary>
    /// <exception cref="SoakException">Something is wrong; the message says what, and the seed.</exception>
    public async Task RunAsync()
    {
        var clock = Stopwatch.StartNew();
        options.Log($"seed {options.Seed}, {options.Conversations} conversations a round");
        try
        {
            // For each kind of cache a pair of rounds in which nothing is reused, so that answers must be the same to the last bit, and a pair with
            // reuse and spill
            // files. The second of a pair repeats the first, and may not take more memory.
            for (var pair = 0; pair < 2 || clock.Elapsed < options.Time; pair++)
            {
                var cache = new KvCacheOptions
                {
                    Kind = Kinds[pair / 2 % Kinds.Length],
                    MemoryBytes = Kinds[pair / 2 % Kinds.Length] == KvCacheKind.Dense ? 6 * options.MemoryBytes : options.MemoryBytes,
                    RetainedConversations = pair % 2 == 0 ? 0 : 12,
                };
                await using var solo = new SoloAnswers(options.ModelPath, cache, options.Threads);
                var first = await RoundAsync(cache, new SoakPlan(options.Seed + pair), solo, spills: pair % 2 == 1);
                var second = await RoundAsync(cache, new SoakPlan(options.Seed + pair), solo, spills: pair % 2 == 1);
                Require(second < (first * 5 / 4) + (64 << 20), $"the process grew from {first >> 20} to {second >> 20} MiB in the same round again");
            }

            totals.RequireAll();
        }
        catch (Exception e)
        {
            throw new SoakException($"Seed {options.Seed}, round {round}: {e.Message}\n{e}");
        }
    }

    /// <returns>Resident bytes after it.</returns>
    private async Task<long> RoundAsync(KvCacheOptions cache, SoakPlan plan, SoloAnswers solo, bool spills)
    {
        round++;
        var clock = Stopwatch.StartNew();
        var tensors = torch.Tensor.TotalCount;
        var directory = spills ? Directory.CreateTempSubdirectory("soak-").FullName : null;
        var answers = new ConcurrentQueue<(GenerationRequest Request, Answer Answer)>();
        try
        {
            var engine = await LlmEngine.LoadAsync(new LlmEngineOptions
            {
                ModelPath = options.ModelPath,
                MaxSequences = 10,
                MaxQueuedRequests = 10_000,
                Threads = options.Threads,
                KvCache = cache with { SpillDirectory = directory, SpillBytes = spills ? 64 << 20 : null },
            });
            var round = new SoakRound(engine, answers, totals);
            await using (engine)
            {
                var clients = Enumerable.Range(0, options.Conversations).Select(i => Task.Run(() => round.ConverseAsync(plan.Conversation(i))))
                    .Concat(Enumerable.Range(0, options.Conversations / 10).Select(i => Task.Run(() => round.EmbedAsync(plan.Texts(i)))));
                await round.WatchAsync(Task.WhenAll(clients), StallTime);
                await round.RequireAccountsAsync();
            }

            var after = engine.GetStatistics();
            Require(after is { KvUsedBytes: 0, KvBytes: 0, RetainedKvBytes: 0, RunningRequests: 0, WaitingRequests: 0, Fault: null }, $"after the end the engine holds {after}");
            Require(torch.Tensor.TotalCount == tensors, $"{torch.Tensor.TotalCount - tensors} tensors were left behind");
            totals.Add(after);
            var nearTies = 0;
            var others = new HashSet<string>();
            // In their order, for the solo engine must have written what the conversation goes on with. With reuse no draws: they make other tokens
            // of a difference in the last bit.
            foreach (var (request, answer) in answers.Where(a => !spills || a.Request.Sampling?.Seed is null))
            {
                if (request.Turns.Any(t => t.Role == ChatRole.Assistant && others.Contains(t.Content)) || await solo.CompareAsync(request, answer, isExact: !spills))
                    continue;
                nearTies++;
                others.Add(answer.Text);
            }

            Require(nearTies <= answers.Count / 20, $"{nearTies} of {answers.Count} answers went another way at a near-tie");
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            var resident = Process.GetCurrentProcess().WorkingSet64;
            options.Log(string.Create(CultureInfo.InvariantCulture,
                $"round {this.round}, {cache.Kind}{(spills ? " with reuse" : "")}: {answers.Count} answers, {nearTies} by a near-tie, {after.GeneratedTokens} tokens, ")
                + string.Create(CultureInfo.InvariantCulture, $"{after.Preemptions} preemptions, {after.CacheSpills} spilled, {after.CacheRestores} restored, ")
                + string.Create(CultureInfo.InvariantCulture, $"{resident >> 20} MiB resident, {GC.GetTotalMemory(false) >> 20} of them managed, {clock.Elapsed.TotalSeconds:F0} s"));
            return resident;
        }
        finally
        {
            if (directory is not null)
                Directory.Delete(directory, recursive: true);
        }
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
            throw new SoakException(message);
    }
}
