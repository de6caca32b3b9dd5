namespace LocalLlm.KvCache;

/// <summary>
/// All memory of all caches, in units that are alike within their kind. A unit that is given back stays for the next of its kind; where another kind
/// needs the bytes, idle ones are freed first. So whatever is free can always be taken, and units in use and idle ones together never exceed the limit.
/// Owned by the engine thread; the numbers can be read from any.
/// </summary>
internal sealed class KvPool : IDisposable
{
    private readonly List<KvUnitKind> kinds = [];
    private readonly Action<long>? allocating;
    private long usedBytes;
    private long idleBytes;
    private long peakBytes;
    private long sharedBytes;
    private bool isDisposed;

    /// <summary>Creates a pool.</summary>
    /// <param name="limitBytes">The most bytes; null for no limit, and then nothing is kept idle.</param>
    /// <param name="allocating">Told before so many bytes are allocated; what it throws is to the caches as if there were no such memory.</param>
    public KvPool(long? limitBytes = null, Action<long>? allocating = null)
    {
        if (limitBytes is { } limit)
            ArgumentOutOfRangeException.ThrowIfLessThan(limit, 0, nameof(limitBytes));
        (LimitBytes, this.allocating) = (limitBytes, allocating);
    }

    /// <summary>The most bytes; null for no limit.</summary>
    public long? LimitBytes { get; }

    /// <summary>Bytes of units that caches use; those that are shared count once.</summary>
    public long UsedBytes => Volatile.Read(ref usedBytes);

    /// <summary>Bytes of units that more than one cache uses, each counted once.</summary>
    public long SharedBytes => Volatile.Read(ref sharedBytes);

    /// <summary>Bytes of units kept for the next who wants one; they are free, and allocated.</summary>
    public long IdleBytes => Volatile.Read(ref idleBytes);

    /// <summary>The most bytes that were ever allocated, idle ones included.</summary>
    public long PeakBytes => Volatile.Read(ref peakBytes);

    /// <summary>Bytes that can be taken.</summary>
    public long FreeBytes => LimitBytes is { } limit ? limit - UsedBytes : long.MaxValue;

    /// <summary>Takes a unit, with one owner; its content is undefined.</summary>
    /// <exception cref="KvMemoryException">It is larger than what is free. Ask <see cref="FreeBytes"/> first.</exception>
    public T Take<T>(KvUnitKind<T> kind)
        where T : KvUnit
    {
        ObjectDisposedException.ThrowIf(isDisposed, this);
        if (kind.Bytes > FreeBytes)
            throw new KvMemoryException($"The KV cache needs {kind.Bytes:N0} bytes ({kind.Name}), but {UsedBytes:N0} of {LimitBytes:N0} bytes are in use.");
        T unit;
        if (kind.Idle.TryPop(out var idle))
        {
            unit = (T)idle;
            Volatile.Write(ref idleBytes, idleBytes - kind.Bytes);
        }
        else
        {
            MakeRoom(kind.Bytes);
            allocating?.Invoke(kind.Bytes);
            unit = kind.Create(); // if this fails, nothing has changed
            if (!kinds.Contains(kind))
                kinds.Add(kind);
        }

        unit.Start(this, kind);
        Volatile.Write(ref usedBytes, usedBytes + kind.Bytes);
        if (usedBytes + idleBytes > peakBytes)
            Volatile.Write(ref peakBytes, usedBytes + idleBytes);
        return unit;
    }

    /// <summary>Counts a unit that has got its second owner, or lost it; by the unit alone.</summary>
    public void CountShared(long bytes) => Volatile.Write(ref sharedBytes, sharedBytes + bytes);

    /// <summary>Takes back a unit that its last owner has released; by the unit alone.</summary>
    public void GiveBack(KvUnit unit)
    {
        Volatile.Write(ref usedBytes, usedBytes - unit.Bytes);
        if (LimitBytes is null || isDisposed)
        {
            unit.Free();
            return;
        }

        unit.Kind.Idle.Push(unit);
        Volatile.Write(ref idleBytes, idleBytes + unit.Bytes);
    }

    /// <summary>Frees the idle units. Those in use are freed when they are given back.</summary>
    public void Dispose()
    {
        isDisposed = true;
        foreach (var kind in kinds)
        {
            while (kind.Idle.TryPop(out var unit))
                unit.Free();
        }

        Volatile.Write(ref idleBytes, 0);
    }

    private void MakeRoom(long bytes)
    {
        if (LimitBytes is { } limit)
            FreeIdle(usedBytes + idleBytes + bytes - limit);
    }

    // Kinds with the most idle bytes first, so that no kind loses what it will want again as long as another has plenty.
    private void FreeIdle(long bytes)
    {
        for (var freed = 0L; freed < bytes;)
        {
            var kind = kinds.MaxBy(k => k.Idle.Count * k.Bytes)!;
            var unit = kind.Idle.Pop();
            unit.Free();
            freed += kind.Bytes;
            Volatile.Write(ref idleBytes, idleBytes - kind.Bytes);
        }
    }
}

/// <summary>The pool has less free than was asked for. The scheduler sees to it beforehand; whoever gets this has changed nothing.</summary>
internal sealed class KvMemoryException(string message) : LocalLlmException(message);
