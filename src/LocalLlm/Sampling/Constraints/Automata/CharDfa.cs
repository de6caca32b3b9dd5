namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>A transition of a <see cref="CharDfa"/> on the Unicode scalar values Low to High, both included.</summary>
internal readonly record struct CharEdge(int Low, int High, int Target);

/// <summary>
/// A regular language over Unicode scalar values as a deterministic automaton. Immutable and safe for concurrent use. It is trim: from every state
/// an accepting one can be reached, so that a step which is possible is never in vain.
/// </summary>
internal sealed class CharDfa
{
    /// <summary>No state: the text so far is the beginning of no text of the language.</summary>
    public const int Dead = -1;

    private readonly CharEdge[][] edges;
    private readonly bool[] accepting;

    /// <param name="start">The start state, or <see cref="Dead"/> for the empty language.</param>
    /// <param name="edges">For each state its edges, in order of their ranges, which do not overlap and leave out the surrogates.</param>
    /// <param name="accepting">For each state whether a text may end there.</param>
    public CharDfa(int start, CharEdge[][] edges, bool[] accepting) => (Start, this.edges, this.accepting) = (start, edges, accepting);

    /// <summary>The start state, or <see cref="Dead"/> if the language is empty.</summary>
    public int Start { get; }

    /// <summary>States are 0 to this, exclusive.</summary>
    public int StateCount => edges.Length;

    /// <summary>A state's edges, in order of their ranges, which do not overlap.</summary>
    public ReadOnlySpan<CharEdge> Edges(int state) => edges[state];

    /// <summary>Whether a text may end here.</summary>
    public bool IsAccepting(int state) => accepting[state];

    /// <summary>The next state, or <see cref="Dead"/>.</summary>
    public int Step(int state, int rune)
    {
        var index = FirstEndingAt(edges[state], rune);
        return index < edges[state].Length && edges[state][index].Low <= rune ? edges[state][index].Target : Dead;
    }

    /// <summary>Whether some scalar value from low to high, both included, leads on.</summary>
    public bool IsLive(int state, int low, int high)
    {
        var index = FirstEndingAt(edges[state], low);
        return index < edges[state].Length && edges[state][index].Low <= high;
    }

    /// <summary>The index of the first edge whose range ends at the value or after it.</summary>
    private static int FirstEndingAt(CharEdge[] edges, int value)
    {
        var (low, high) = (0, edges.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (edges[middle].High < value)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
