using System.Diagnostics;

namespace LocalLlm.Benchmarks.Gpu;

/// <summary>Times what is given to a GPU.</summary>
/// <param name="synchronize">Waits until the GPU has nothing more to do.</param>
/// <param name="rounds">Measurements of each action.</param>
/// <param name="turn">How long one measurement lasts at least, so that waiting for the GPU is a small part of it.</param>
internal sealed class GpuClock(Action synchronize, int rounds, TimeSpan turn)
{
    /// <summary>Milliseconds of each action: the median of the rounds, in which they take turns.</summary>
    public double[] Measure(params Action[] actions)
    {
        var repeats = actions.Select(Repeats).ToArray();
        var times = actions.Select(_ => new double[rounds]).ToArray();
        for (var round = 0; round < rounds; round++)
        {
            for (var i = 0; i < actions.Length; i++)
                times[i][round] = Run(actions[i], repeats[i]) / repeats[i];
        }

        return [.. times.Select(t => t.Order().ElementAt(rounds / 2))];
    }

    // The first run compiles kernels and takes memory; the second says how many fill a turn.
    private int Repeats(Action action)
    {
        _ = Run(action, 2);
        return (int)Math.Clamp(turn.TotalMilliseconds / Math.Max(Run(action, 1), 1e-3), 1, 1000);
    }

    private double Run(Action action, int repeats)
    {
        synchronize();
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < repeats; i++)
            action();
        synchronize();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }
}
