using LocalLlm;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>Lets requests in until it is closed, and tells when the last one has left. Safe for concurrent use.</summary>
internal sealed class RequestGate : IDisposable
{
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _abort = new();
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inside;
    private bool _isClosed;

    /// <summary>Requests inside.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _inside;
        }
    }

    /// <summary>Whether nobody is let in any more.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_lock)
                return _isClosed;
        }
    }

    /// <summary>Cancelled when the requests inside are to give up.</summary>
    public CancellationToken Aborted => _abort.Token;

    /// <summary>Lets a request in; it calls <see cref="Leave"/> at its end.</summary>
    /// <exception cref="LocalLlmException">The gate is closed.</exception>
    public void Enter()
    {
        lock (_lock)
        {
            if (_isClosed)
                throw new LocalLlmException(
                    "The application is shutting down, so the engine takes no new requests. Send it again to another instance, or later.");
            _inside++;
        }
    }

    /// <summary>Lets a request out.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            _inside--;
            if (_isClosed && _inside == 0)
                _empty.TrySetResult();
        }
    }

    /// <summary>Lets nobody in any more.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosed = true;
            if (_inside == 0)
                _empty.TrySetResult();
        }
    }

    /// <summary>Closes, and waits until everybody has left.</summary>
    /// <returns>False if some were still inside when the time or the token ended.</returns>
    public async Task<bool> DrainAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        Close();
        try
        {
            await _empty.Task.WaitAsync(timeout, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Makes those inside give up.</summary>
    public Task AbortAsync() => _abort.CancelAsync();

    public void Dispose() => _abort.Dispose();
}
