using System.Diagnostics;
using System.Runtime.Intrinsics;
using LocalLlm.Kernels.Cpu;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks;

/// <summary>The threads of a run, torch's as many as ours, and the clock.</summary>
internal sealed class Machine : IDisposable
{
    public Machine(int threads)
    {
        set_num_threads(threads);
        Team = new WorkerTeam(threads);
    }

    public WorkerTeam Team { get; }

    /// <summary>What a table's title says of the machine.</summary>
    public string Description => $"{Team.Threads} threads, {SimdPaths.Best}, .NET {Environment.Version}, torch {__version__}";

    /// <summary>
    /// Milliseconds of each action: the median over the rounds of the least of at least three runs. They take turns, so that all see the same minutes of a noisy machine, and
    /// each turn begins with a run that does not count, so that nobody pays for what another left in the caches or spinning. Medians, because what is
    /// compared must have had the same luck: the machine's clock and memory are faster in some moments than in others.
    /// </summary>
    public static double[] Measure(int rounds, params Action[] actions)
    {
        var least = actions.Select(_ => new double[rounds]).ToArray();
        foreach (var action in actions)
        {
            // Until the just-in-time compiler has made the fast code of it, which it does some time after the thirtieth call.
            var start = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(0.5))
                action();
        }

        for (var round = 0; round < rounds; round++)
        {
            for (var i = 0; i < actions.Length; i++)
            {
                actions[i]();
                Thread.Sleep(10); // torch's threads spin on for some milliseconds after they have worked
                least[i][round] = double.PositiveInfinity;
                // Long enough for a processor that slept to be awake, as it is in the middle of a step.
                var turn = Stopwatch.GetTimestamp();
                for (var repeat = 0; repeat < 3 || Stopwatch.GetElapsedTime(turn) < TimeSpan.FromMilliseconds(15); repeat++)
                {
                    var start = Stopwatch.GetTimestamp();
                    actions[i]();
                    least[i][round] = Math.Min(least[i][round], Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                }
            }
        }

        return [.. least.Select(l => l.Order().ElementAt(rounds / 2))];
    }

    /// <summary>Reads memory once, on all threads: what any kernel over these bytes cannot beat.</summary>
    public void Read(nint address, long bytes) => Team.Run(new Reader(address, bytes, 8 * Team.Threads), 8 * Team.Threads);

    public void Dispose() => Team.Dispose();

    private sealed unsafe class Reader(nint address, long bytes, int parts) : ParallelWork
    {
        private static long sink;

        public override void Execute(int item, int worker)
        {
            var vectors = bytes / sizeof(Vector512<long>);
            var (first, end) = (vectors * item / parts, vectors * (item + 1) / parts);
            var source = (Vector512<long>*)address;
            var (a, b, c, d) = (Vector512<long>.Zero, Vector512<long>.Zero, Vector512<long>.Zero, Vector512<long>.Zero);
            var i = first;
            for (; i + 4 <= end; i += 4)
            {
                a ^= source[i];
                b ^= source[i + 1];
                c ^= source[i + 2];
                d ^= source[i + 3];
            }

            for (; i < end; i++)
                a ^= source[i];
            Volatile.Write(ref sink, Vector512.Sum(a ^ b ^ c ^ d));
        }
    }
}
