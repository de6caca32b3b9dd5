namespace DemoModel.Training;

/// <summary>Threads that stay: libtorch's settings and caches are per thread.</summary>
internal sealed class WorkerThreads : IDisposable
{
    private readonly Barrier _start, _end;
    private Action<int>? _work;
    private Exception? _error;

    public WorkerThreads(int count)
    {
        _start = new(count + 1);
        _end = new(count + 1);
        for (int i = 0; i < count; i++)
        {
            int index = i;
            new Thread(() => Loop(index)) { IsBackground = true, Name = $"training {i}" }.Start();
        }
    }

    /// <summary>Runs the work once on every thread, with the thread's index, and waits for all.</summary>
    public void Run(Action<int> work)
    {
        _work = work;
        _start.SignalAndWait();
        _end.SignalAndWait();
        if (_error is not null)
            throw new InvalidOperationException("A training thread failed.", _error);
    }

    public void Dispose()
    {
        _work = null;
        _start.SignalAndWait();
    }

    private void Loop(int index)
    {
        while (true)
        {
            _start.SignalAndWait();
            if (_work is not Action<int> work)
                return;
            try
            {
                work(index);
            }
#pragma warning disable CA1031 // It is thrown again where Run waits.
            catch (Exception error)
#pragma warning restore CA1031
            {
                _error = error;
            }

            _end.SignalAndWait();
        }
    }
}
