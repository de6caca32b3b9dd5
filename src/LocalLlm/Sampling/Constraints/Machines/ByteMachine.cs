using System.Runtime.InteropServices;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// A regular language over bytes as an automaton whose states are found as they are needed. Trim: from every state an accepting one can be reached. Not
/// thread-safe; the vocabulary's lock guards it.
/// </summary>
internal abstract class ByteMachine
{
    /// <summary>No state: the bytes so far are the beginning of nothing.</summary>
    public const int Dead = -1;

    private const int Unknown = -2;

    private readonly List<int[]> transitions = [];
    private readonly List<bool> accepting = [];

    /// <summary>The start state; always 0.</summary>
    public const int Start = 0;

    /// <summary>States found so far.</summary>
    protected int StateCount => transitions.Count;

    /// <summary>The next state, or <see cref="Dead"/>.</summary>
    public int Step(int state, byte next)
    {
        var row = transitions[state];
        return row[next] != Unknown ? row[next] : Find(state, next);
    }

    /// <summary>Whether the language holds what led to this state.</summary>
    public bool IsAccepting(int state) => accepting[state];

    /// <summary>
    /// How many plain characters (whole ones, no quote, no backslash, no control character) may follow whatever they are, where none can come after that;
    /// <see cref="int.MaxValue"/> where any number may; −1 where it depends on the characters.
    /// </summary>
    public virtual int FreeCharacters(int state) => -1;

    /// <summary>A state from which the same texts of at most so many bytes can follow and end, often this one; states that share it share a mask.</summary>
    public virtual int Representative(int state, int bytes) => state;

    /// <summary>Adds a state.</summary>
    /// <returns>Its number; the first is the start.</returns>
    protected int AddState(bool isAccepting)
    {
        var row = new int[256];
        Array.Fill(row, Unknown);
        transitions.Add(row);
        accepting.Add(isAccepting);
        return transitions.Count - 1;
    }

    /// <summary>The next state, not known yet, or <see cref="Dead"/>.</summary>
    protected abstract int Next(int state, byte next);

    private int Find(int state, byte next)
    {
        var found = Next(state, next);
        return transitions[state][next] = found;
    }
}

/// <summary>A machine whose states stand for values.</summary>
internal abstract class ByteMachine<TState> : ByteMachine
    where TState : struct
{
    private readonly Dictionary<TState, int> numbers = [];
    private readonly List<TState> values = [];

    /// <summary>The value of a state.</summary>
    protected TState Value(int state) => values[state];

    /// <summary>The state of a value.</summary>
    protected int State(TState value)
    {
        ref var number = ref CollectionsMarshal.GetValueRefOrAddDefault(numbers, value, out var exists);
        if (!exists)
        {
            number = AddState(IsAccepting(value));
            values.Add(value);
        }

        return number;
    }

    /// <summary>Whether a value is accepting.</summary>
    protected abstract bool IsAccepting(TState value);

    /// <summary>The value after a byte; null for none.</summary>
    protected abstract TState? Next(TState value, byte next);

    /// <inheritdoc/>
    protected sealed override int Next(int state, byte next) => Next(values[state], next) is { } value ? State(value) : Dead;
}
