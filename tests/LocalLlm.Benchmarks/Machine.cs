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
    /// The least milliseconds of each action. They take turns, so that all see the same minutes of a noisy machine, and each
    /// turn begins with a run that does not either, so that nobody pays for what another left in the caches or spinning.
    /// </summary>
    public static double[] Least(int rounds, params Action[] actions)
    {
        var best = new double[actions.Length];
        Array.Fill(best, double.PositiveInfinity);
        foreach (var action in actions)
        {
            // Until the just-in-time compiler has made the fast code of it.
            var start = Stopwatch.GetTimestamp();
            for (var run = 0; run < 40 && Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(0.4); run++)
                action();
        }

        for (var round = 0; round < rounds; round++)
        {
            for (var i = 0; i < actions.Length; i++)
            {
                actions[i]();
                Thread.Sleep(10); // torch's threads spin on for some milliseconds after they have worked
                for (var repeat = 0; repeat < 3; repeat++)
                {
                    var start = Stopwatch.GetTimestamp();
                    actions[i]();
                    best[i] = Math.Min(best[i], Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                }
            }
        }

        return best;
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
