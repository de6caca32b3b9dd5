namespace Agents.Scenes;

/// <summary>
/// Ctrl-C: while something runs, the first cancels it. Otherwise, and the second time, it ends the process as usual (exit code 130).
/// </summary>
internal sealed class Interrupt : IDisposable
{
    private readonly Action _beforeExit;
    private CancellationTokenSource? _running;

    /// <param name="beforeExit">Puts the terminal in order before the process ends.</param>
    public Interrupt(Action beforeExit)
    {
        _beforeExit = beforeExit;
        Console.CancelKeyPress += OnCancelKey;
    }

    /// <summary>Runs something that Ctrl-C cancels.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> run)
    {
        using var source = new CancellationTokenSource();
        Volatile.Write(ref _running, source);
        try
        {
            return await run(source.Token);
        }
        finally
        {
            Volatile.Write(ref _running, null);
        }
    }

    public void Dispose() => Console.CancelKeyPress -= OnCancelKey;

    private void OnCancelKey(object? sender, ConsoleCancelEventArgs e)
    {
        if (Volatile.Read(ref _running) is { IsCancellationRequested: false } running)
        {
            e.Cancel = true;
            try
            {
                running.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // It has just ended by itself.
            }
        }
        else
        {
            _beforeExit();
        }
    }
}
