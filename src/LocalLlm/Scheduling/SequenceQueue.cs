using System.Collections.Concurrent;

namespace LocalLlm.Scheduling;

/// <summary>The sequences that do not run: those that have arrived, from any thread, and those that wait. All but <see cref="Arrive"/> is the engine thread's.</summary>
internal sealed class SequenceQueue(TimeProvider time)
{
    private readonly ConcurrentQueue<Sequence> arrived = new();
    private readonly List<Sequence> waiting = [];
    private long arrivals;
    private int waitingCount;

    /// <summary>Sequences that wait, for whoever asks from another thread too.</summary>
    public int Count => arrived.Count + Volatile.Read(ref waitingCount);

    /// <summary>Adds a new sequence; from any thread.</summary>
    public void Arrive(Sequence sequence)
    {
        sequence.Arrival = Interlocked.Increment(ref arrivals);
        sequence.WaitingSince = time.GetTimestamp();
        arrived.Enqueue(sequence);
    }

    /// <summary>Takes in what has arrived since the last call.</summary>
    public void Collect()
    {
        while (arrived.TryDequeue(out var sequence))
            waiting.Add(sequence);
        Volatile.Write(ref waitingCount, waiting.Count);
    }

    /// <summary>Puts a preempted sequence back; by its number it is before those that arrived later.</summary>
    public void Return(Sequence sequence)
    {
        sequence.WaitingSince = time.GetTimestamp();
        waiting.Add(sequence);
        Volatile.Write(ref waitingCount, waiting.Count);
    }

    /// <summary>Waiting sequences that were preempted and could not go on, for their readers are too far behind.</summary>
    public int Paused => waiting.Count(s => s.IsFarAhead);

    /// <summary>Who starts next; null if nobody waits that could go on.</summary>
    /// <param name="passed">Those whose turn it is not, whatever their place.</param>
    public Sequence? Next(IReadOnlyCollection<Sequence> passed)
    {
        var ready = waiting.FindAll(s => !s.IsFarAhead && !passed.Contains(s));
        var next = AdmissionPolicy.Next([.. ready.Select(s => new WaitingRequest(s.Request.Priority, s.Arrival, Waited(s)))]);
        return next < 0 ? null : ready[next];
    }

    /// <summary>Removes a sequence.</summary>
    public void Remove(Sequence sequence)
    {
        waiting.Remove(sequence);
        Volatile.Write(ref waitingCount, waiting.Count);
    }

    /// <summary>Removes and returns the sequences for which something holds.</summary>
    public List<Sequence> RemoveAll(Predicate<Sequence> condition)
    {
        var removed = waiting.FindAll(condition);
        foreach (var sequence in removed)
            Remove(sequence);
        return removed;
    }

    /// <summary>For how long a sequence has waited.</summary>
    public TimeSpan Waited(Sequence sequence) => time.GetElapsedTime(sequence.WaitingSince);
}
