using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// Threads for very short parallel regions: tens of microseconds to milliseconds, thousands a second. The thread that calls <see cref="Run"/> is
/// one of them. Items are claimed one at a time, so that a thread that was taken off its core does not hold up the rest. Idle threads watch for
/// the next region for a moment and then sleep. One region at a time.
/// </summary>
internal sealed class WorkerTeam : IDisposable
{
    /// <summary>How long an idle thread watches before it sleeps: longer than the gap between most regions of a layer.</summary>
    private static readonly long WatchTicks = Stopwatch.Frequency / 10_000;

    private readonly Thread[] helpers;
    private readonly object gate = new();
    private Counters counters;
    private ParallelWork? work;
    private int items;
    private ExceptionDispatchInfo? fault;
    private bool isDisposed;

    /// <summary>Starts the team's threads.</summary>
    /// <param name="threads">Threads with the caller's; at least 1.</param>
    public WorkerTeam(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        helpers = new Thread[threads - 1];
        for (var i = 0; i < helpers.Length; i++)
        {
            var worker = i + 1;
            helpers[i] = new Thread(() => Serve(worker)) { IsBackground = true, Name = $"LocalLlm kernels {worker}" };
            try
            {
                helpers[i].Start();
            }
            catch
            {
                // The system has no thread left: those that run shall not wait for ever.
                Volatile.Write(ref isDisposed, true);
                Interlocked.Increment(ref counters.Region);
                WakeSleepers();
                throw;
            }
        }
    }

    /// <summary>Threads of a region, the caller's among them.</summary>
    public int Threads { get; }

    /// <summary>
    /// Runs every item once, on all threads of the team, and returns when all are done. What the items wrote is visible to the caller then.
    /// </summary>
    /// <param name="region">What to run.</param>
    /// <param name="count">How many items; 0 does nothing, and 1 runs on the caller alone.</param>
    /// <exception cref="InvalidOperationException">Another region of this team is running: on another thread, or around this call.</exception>
    /// <remarks>The first exception of an item ends the region: no further item starts, and the exception is thrown here.</remarks>
    public void Run(ParallelWork region, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (Interlocked.CompareExchange(ref counters.Running, 1, 0) != 0)
            throw new InvalidOperationException("The team already runs a region: it takes one at a time, and an item must not start another.");
        try
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            if (count <= 1 || Threads == 1)
            {
                for (var item = 0; item < count; item++)
                    region.Execute(item, 0);
                return;
            }

            RunOnAll(region, count);
        }
        finally
        {
            Volatile.Write(ref counters.Running, 0);
        }
    }

    private void RunOnAll(ParallelWork region, int count)
    {
        (work, items, fault) = (region, count, null);
        Volatile.Write(ref counters.Unfinished, count);
        // From here on a helper that is still looking for work of the region before may claim an item of this one, which is as good.
        Volatile.Write(ref counters.Unclaimed, count);
        Interlocked.Increment(ref counters.Region);
        WakeSleepers();
        Work(worker: 0);

        // The others hold at most one item each. Past the length of a short item a helper has lost its core, maybe to this very loop.
        for (var spins = 0; Volatile.Read(ref counters.Unfinished) > 0; spins++)
        {
            if (spins < 2000)
                Thread.SpinWait(1);
            else
                Thread.Yield();
        }

        work = null;
        fault?.Throw();
    }

    /// <summary>Claims and runs items until none is left.</summary>
    private void Work(int worker)
    {
        // Counting down makes one atomic step both the claim and the proof that the region is alive: until this item is finished the caller
        // waits, so that work and items belong to it. A late helper finds a negative number, whatever region it thought it was in.
        int left;
        while ((left = Interlocked.Decrement(ref counters.Unclaimed)) >= 0)
        {
            try
            {
                if (Volatile.Read(ref fault) is null)
                    work!.Execute(items - 1 - left, worker);
            }
#pragma warning disable CA1031 // Thrown again on the caller's thread.
            catch (Exception e)
#pragma warning restore CA1031
            {
                Interlocked.CompareExchange(ref fault, ExceptionDispatchInfo.Capture(e), null);
            }

            Interlocked.Decrement(ref counters.Unfinished);
        }
    }

    private void Serve(int worker)
    {
        var seen = 0;
        while (true)
        {
            AwaitRegion(seen);
            seen = Volatile.Read(ref counters.Region);
            if (Volatile.Read(ref isDisposed))
                return;
            Work(worker);
        }
    }

    private void AwaitRegion(int seen)
    {
        var start = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref counters.Region) == seen)
        {
            Thread.SpinWait(1);
            if (Stopwatch.GetTimestamp() - start < WatchTicks)
                continue;
            lock (gate)
            {
                // Announced before the last look at the region: the caller writes the region before it looks for sleepers, so one sees the other.
                Interlocked.Increment(ref counters.Asleep);
                while (Volatile.Read(ref counters.Region) == seen)
                    Monitor.Wait(gate);
                Interlocked.Decrement(ref counters.Asleep);
            }
        }
    }

    private void WakeSleepers()
    {
        if (Volatile.Read(ref counters.Asleep) == 0)
            return;
        lock (gate)
            Monitor.PulseAll(gate);
    }

    /// <summary>Ends the threads and waits for them.</summary>
    /// <exception cref="InvalidOperationException">A region is running.</exception>
    public void Dispose()
    {
        if (Interlocked.CompareExchange(ref counters.Running, 1, 0) != 0)
            throw new InvalidOperationException("The team runs a region and cannot be disposed before its end.");
        Volatile.Write(ref isDisposed, true);
        Interlocked.Increment(ref counters.Region);
        WakeSleepers();
        foreach (var helper in helpers)
            helper.Join();
        Volatile.Write(ref counters.Running, 0);
    }

    /// <summary>
    /// What the threads share, each on cache lines of its own (two, for the prefetcher of neighbours), so that a claim does not slow those who watch.
    /// </summary>
    [StructLayout(LayoutKind.Explicit, Size = 6 * 128)]
    private struct Counters
    {
        /// <summary>1 while a region runs.</summary>
        [FieldOffset(128)]
        public int Running;

        /// <summary>Changes with every region.</summary>
        [FieldOffset(256)]
        public int Region;

        /// <summary>Items nobody has claimed; below 0 when more tried.</summary>
        [FieldOffset(384)]
        public int Unclaimed;

        /// <summary>Items that have not ended.</summary>
        [FieldOffset(512)]
        public int Unfinished;

        /// <summary>Helpers that must be woken.</summary>
        [FieldOffset(640)]
        public int Asleep;
    }
}
