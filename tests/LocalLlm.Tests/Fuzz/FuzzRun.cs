using System.Diagnostics;
using LocalLlm.Soak;

namespace LocalLlm.Fuzz;

/// <summary>Runs fuzzers, one input after the other.</summary>
/// <param name="modelPath">The folder of the model that they use.</param>
/// <param name="log">Told of every fuzzer's end.</param>
internal sealed class FuzzRun(string modelPath, Action<string> log)
{
    /// <summary>How long one input may take before it counts as a hang.</summary>
    private static readonly TimeSpan HangTime = TimeSpan.FromMinutes(2);

    /// <summary>By how many bytes one input may let the process grow: a file of a few megabytes must not ask for more.</summary>
    private const long MostBytes = 2L << 30;

    /// <summary>All fuzzers.</summary>
    public static IReadOnlyList<Fuzzer> All() => [new MessageFuzzer(), new SchemaFuzzer(), new SettingsFuzzer(), new ModelFolderFuzzer(), new SpillFileFuzzer()];

    /// <summary>Runs a fuzzer for a number of inputs, and on until the time is over.</summary>
    /// <param name="fuzzer">The fuzzer; disposed of.</param>
    /// <param name="seed">The first input's seed; the next one has the next number.</param>
    /// <param name="inputs">At least so many inputs.</param>
    /// <param name="time">At least for so long.</param>
    /// <exception cref="SoakException">An input was neither taken nor refused; the message says its seed.</exception>
    public async Task RunAsync(Fuzzer fuzzer, int seed, int inputs, TimeSpan time)
    {
        await using var _ = fuzzer;
        await fuzzer.OpenAsync(modelPath);
        var clock = Stopwatch.StartNew();
        var (taken, tried) = (0, 0);
        for (; tried < inputs || clock.Elapsed < time; tried++)
        {
            var number = unchecked(seed + tried);
            try
            {
                var peak = PeakBytes();
                var attempt = Task.Run(() => fuzzer.TryAsync(new Random(number)));
                if (await Task.WhenAny(attempt, Task.Delay(HangTime)) != attempt)
                    throw new SoakException($"it hangs, for {HangTime}");
                taken += await attempt ? 1 : 0;
                if (PeakBytes() - peak > MostBytes)
                    throw new SoakException($"the process grew by {(PeakBytes() - peak) >> 20} MiB");
            }
            catch (Exception e)
            {
                throw new SoakException($"{fuzzer.Name}, seed {number} (fuzz --only {fuzzer.Name} --seed {number}): {e.Message}\n{e}");
            }
        }

        log($"{fuzzer.Name}: {taken} of {tried} inputs were taken, the others refused, from seed {seed} on, {clock.Elapsed.TotalSeconds:F0} s");
        if (taken == 0 || taken == tried)
            throw new SoakException($"{fuzzer.Name}, seed {seed}: {taken} of {tried} inputs were taken, so the others or these were never tried.");
    }

    private static long PeakBytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
