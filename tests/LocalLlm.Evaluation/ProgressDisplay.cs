using System.Diagnostics;
using Spectre.Console;

namespace LocalLlm.Evaluation;

/// <summary>Progress on the standard error: bars on a terminal, a line now and then elsewhere.</summary>
internal sealed class ProgressDisplay
{
    /// <summary>Shows nothing.</summary>
    public static readonly ProgressDisplay None = new(null, false);

    private readonly ProgressContext? context;
    private readonly bool writesLines;

    private ProgressDisplay(ProgressContext? context, bool writesLines) => (this.context, this.writesLines) = (context, writesLines);

    /// <summary>Runs work under a display.</summary>
    public static async Task RunAsync(Func<ProgressDisplay, Task> work)
    {
        if (Console.IsErrorRedirected)
        {
            await work(new ProgressDisplay(null, writesLines: true));
            return;
        }

        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Progress()
            .AutoClear(true)
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(),
                new RemainingTimeColumn())
            .StartAsync(progress => work(new ProgressDisplay(progress, writesLines: false)));
    }

    /// <summary>Begins a task.</summary>
    public ProgressTask Begin(string what, int units)
    {
        var bar = context?.AddTask(Markup.Escape(what), maxValue: Math.Max(units, 1));
        return new ProgressTask(what, units, writesLines, bar);
    }
}

/// <summary>A task of the display; not for several threads.</summary>
internal sealed class ProgressTask : IDisposable
{
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(15);

    private readonly string what;
    private readonly int units;
    private readonly bool writesLines;
    private readonly Spectre.Console.ProgressTask? bar;
    private readonly long start = Stopwatch.GetTimestamp();
    private long lastLine = Stopwatch.GetTimestamp();
    private int done;

    /// <summary>Begins it.</summary>
    public ProgressTask(string what, int units, bool writesLines, Spectre.Console.ProgressTask? bar) =>
        (this.what, this.units, this.writesLines, this.bar) = (what, units, writesLines, bar);

    /// <summary>One more unit, or several, are done.</summary>
    /// <param name="detail">What is being done now.</param>
    /// <param name="count">How many units.</param>
    public void Advance(string? detail = null, int count = 1)
    {
        done += count;
        if (bar is not null)
        {
            bar.Increment(count);
            if (detail is not null)
                bar.Description = Markup.Escape($"{what}: {detail}");
        }

        if (writesLines && done < units && Stopwatch.GetElapsedTime(lastLine) >= LineEvery)
            WriteLine(detail is null ? "" : $": {detail}");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        bar?.StopTask();
        if (writesLines && units > 0)
            WriteLine($" in {Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s");
    }

    private void WriteLine(string rest)
    {
        lastLine = Stopwatch.GetTimestamp();
        Console.Error.WriteLine($"{what} {done}/{units}{rest}");
    }
}
