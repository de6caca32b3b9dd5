namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// A terminal of a grammar as a deterministic automaton over bytes, whose states and transitions are made when they are first needed. Trim: from
/// every state an accepting one can be reached. Not thread-safe: a compiled grammar guards its machines.
/// </summary>
internal abstract class ByteMachine(CacheMeter meter)
{
    /// <summary>No state.</summary>
    public const int Dead = -1;

    // A row holds a state's transitions; what has not been asked for is Unknown.
    private const int Unknown = -2;
    private int[]?[] rows = new int[]?[4];

    /// <summary>Orders the machines of a grammar.</summary>
    public required int Id { get; init; }

    /// <summary>The state before the first byte.</summary>
    public abstract int Start { get; }

    /// <summary>Whether the terminal may end here.</summary>
    public abstract bool IsAccepting(int state);

    /// <summary>Whether the terminal may go on from here.</summary>
    public abstract bool CanContinue(int state);

    /// <summary>
    /// How many plain characters (<see cref="TokenTries"/>) may follow, whichever they are, where not one more may; <see cref="int.MaxValue"/> for
    /// any number; 0 where it is not as simple as that.
    /// </summary>
    public virtual int PlainReach(int state) => 0;

    /// <summary>The next state, or <see cref="Dead"/>.</summary>
    public int Step(int state, byte value)
    {
        if (state >= rows.Length)
            Array.Resize(ref rows, Math.Max(state + 1, 2 * rows.Length));
        var row = rows[state] ??= NewRow();
        var next = row[value];
        return next != Unknown ? next : row[value] = Compute(state, value);
    }

    /// <summary>Forgets the transitions; states keep their numbers.</summary>
    public void DropRows() => rows = new int[]?[4];

    protected abstract int Compute(int state, byte value);

    private int[] NewRow()
    {
        meter.Add(sizeof(int) * 256);
        var row = new int[256];
        Array.Fill(row, Unknown);
        return row;
    }
}
