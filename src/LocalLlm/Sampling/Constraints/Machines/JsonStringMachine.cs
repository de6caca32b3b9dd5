using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// JSON strings (RFC 8259, section 7), quotes included, whose value is of a regular language: characters as they are or by any of their escapes, pairs of
/// surrogates among them. Lone surrogates are excluded, which .NET cannot represent as UTF-8, and escapes of letters, digits and the like, which no writer of
/// JSON makes and in which a model would lose itself.
/// </summary>
internal sealed class JsonStringMachine : ByteMachine<JsonStringState>
{
    private const int FirstHigh = 0xD800, FirstLow = 0xDC00, LastLow = 0xDFFF;

    /// <summary>The characters below U+0080 that some writer of JSON escapes by their numbers, System.Text.Json with its defaults the most; then the rest.</summary>
    private static readonly (int Low, int High)[] EscapedByNumber =
    [
        (0, 0x1F), ('"', '"'), ('&', '\''), ('+', '+'), ('/', '/'), ('<', '<'), ('>', '>'), ('\\', '\\'), ('`', '`'), (0x7F, FirstHigh - 1), (LastLow + 1, 0xFFFF),
    ];

    private readonly CharDfa value;
    private readonly int[] free; // by state of the value
    private int roomy = -1; // a state in which nothing but the closing quote matters for as long as a token is

    public JsonStringMachine(CharDfa value)
    {
        this.value = value;
        free = FreeCharacters(value);
        State(new JsonStringState(JsonStringPhase.Before, new PartialCharacter(value.Start, 0, 0), 0));
    }

    /// <inheritdoc/>
    public override int FreeCharacters(int state) =>
        Value(state) is { Phase: JsonStringPhase.Inside, At.Left: 0 } inside ? free[inside.At.State] : -1;

    /// <inheritdoc/>
    public override int Representative(int state, int bytes)
    {
        if (Value(state) is not { Phase: JsonStringPhase.Inside, At.Left: 0 } inside || !IsOpen(inside.At.State, bytes))
            return state;
        return roomy >= 0 ? roomy : roomy = state;
    }

    // Whether the value may end here and after any of so many characters, whatever they are.
    private bool IsOpen(int state, int characters)
    {
        for (; characters > 0; characters--)
        {
            var next = TargetOfAny(value, state);
            if (next == CharDfa.Dead || !value.IsAccepting(state))
                return false;
            if (next == state)
                return true;
            state = next;
        }

        return value.IsAccepting(state);
    }

    protected override bool IsAccepting(JsonStringState state) => state.Phase == JsonStringPhase.After;

    protected override JsonStringState? Next(JsonStringState state, byte next)
    {
        var at = state.At;
        switch (state.Phase)
        {
            case JsonStringPhase.Before:
                return next == '"' ? Inside(at) : null;
            case JsonStringPhase.Inside when at.Left > 0:
                return Inside(Utf8.Step(value, at, next));
            case JsonStringPhase.Inside:
                if (next == '"')
                    return value.IsAccepting(at.State) ? new JsonStringState(JsonStringPhase.After, default, 0) : null;
                if (next == '\\')
                    return IsEscapedLive(at.State, 0, 0xFFFF) || value.IsLive(at.State, 0x10000, 0x10FFFF) ? state with { Phase = JsonStringPhase.Escape } : null;
                return next < 0x20 ? null : Inside(Utf8.Step(value, at, next));
            case JsonStringPhase.Escape:
                return next == 'u' ? Hex(new PartialCharacter(at.State, 0, 4), high: 0)
                    : Escaped(next) is { } rune ? Inside(Utf8.Whole(value, at.State, rune)) : null;
            case JsonStringPhase.Hex:
                return Digit(next) is { } digit ? Hex(at with { Bits = (at.Bits << 4) | digit, Left = at.Left - 1 }, state.High) : null;
            case JsonStringPhase.LowEscape:
                return next == '\\' ? state with { Phase = JsonStringPhase.LowU } : null;
            case JsonStringPhase.LowU:
                return next == 'u' ? Hex(new PartialCharacter(at.State, 0, 4), state.High) : null;
            default:
                return null;
        }
    }

    private static JsonStringState? Inside(PartialCharacter? at) => at is { } inside ? new JsonStringState(JsonStringPhase.Inside, inside, 0) : null;

    private static int? Escaped(byte letter) => letter switch
    {
        (byte)'"' or (byte)'\\' or (byte)'/' => letter,
        (byte)'b' => '\b',
        (byte)'f' => '\f',
        (byte)'n' => '\n',
        (byte)'r' => '\r',
        (byte)'t' => '\t',
        _ => null,
    };

    private static int? Digit(byte letter) => letter switch
    {
        >= (byte)'0' and <= (byte)'9' => letter - '0',
        >= (byte)'a' and <= (byte)'f' => letter - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => letter - 'A' + 10,
        _ => null,
    };

    /// <summary>Digits of \uXXXX so far, if some character that leads on begins with them.</summary>
    /// <param name="at">The value of the digits, and how many are missing.</param>
    /// <param name="high">The high surrogate before, or 0.</param>
    private JsonStringState? Hex(PartialCharacter at, int high)
    {
        if (at.Left == 0 && high == 0 && at.Bits is < FirstHigh or > LastLow)
            return IsEscapedLive(at.State, at.Bits, at.Bits) ? Inside(Utf8.Whole(value, at.State, at.Bits)) : null;
        if (at.Left == 0 && high != 0)
            return at.Bits is >= FirstLow and <= LastLow ? Inside(Utf8.Whole(value, at.State, Pair(high, at.Bits))) : null;
        var shift = 4 * at.Left;
        var (low, top) = (at.Bits << shift, ((at.Bits + 1) << shift) - 1);
        if (high != 0)
        {
            var (first, last) = (Math.Max(low, FirstLow), Math.Min(top, LastLow));
            return first <= last && value.IsLive(at.State, Pair(high, first), Pair(high, last)) ? new JsonStringState(JsonStringPhase.Hex, at, high) : null;
        }

        // A character of its own, or the first half of a pair.
        var (firstHigh, lastHigh) = (Math.Max(low, FirstHigh), Math.Min(top, FirstLow - 1));
        var beginsPair = firstHigh <= lastHigh && value.IsLive(at.State, Pair(firstHigh, FirstLow), Pair(lastHigh, LastLow));
        if (at.Left == 0)
            return beginsPair ? new JsonStringState(JsonStringPhase.LowEscape, new PartialCharacter(at.State, 0, 0), at.Bits) : null;
        return beginsPair || IsEscapedLive(at.State, low, top) ? new JsonStringState(JsonStringPhase.Hex, at, 0) : null;
    }

    private bool IsEscapedLive(int state, int low, int high)
    {
        foreach (var (first, last) in EscapedByNumber)
        {
            if (Math.Max(first, low) is var from && Math.Min(last, high) is var to && from <= to && value.IsLive(state, from, to))
                return true;
        }

        return false;
    }

    private static int Pair(int high, int low) => 0x10000 + ((high - FirstHigh) << 10) + (low - FirstLow);

    private static int[] FreeCharacters(CharDfa language)
    {
        const int unknown = int.MinValue, onPath = int.MinValue + 1;
        var free = new int[language.StateCount];
        Array.Fill(free, unknown);
        var path = new Stack<int>();
        for (var start = 0; start < free.Length; start++)
        {
            var state = start;
            while (free[state] is unknown or onPath)
            {
                var next = TargetOfAny(language, state);
                if (language.Edges(state).Length == 0)
                {
                    free[state] = 0;
                }
                else if (next == state)
                {
                    free[state] = int.MaxValue;
                }
                else if (next == CharDfa.Dead || free[state] == onPath)
                {
                    free[state] = -1;
                }
                else
                {
                    free[state] = onPath;
                    path.Push(state);
                    state = next;
                }
            }

            while (path.TryPop(out var before))
            {
                free[before] = free[state] is -1 or int.MaxValue ? free[state] : free[state] + 1;
                state = before;
            }
        }

        return free;
    }

    /// <summary>The state to which every character leads; <see cref="CharDfa.Dead"/> if there is none.</summary>
    private static int TargetOfAny(CharDfa language, int state)
    {
        var next = 0;
        var edges = language.Edges(state);
        foreach (var edge in edges)
        {
            if (edge.Low > next || edge.Target != edges[0].Target)
                return CharDfa.Dead;
            next = edge.High + 1 == FirstHigh ? LastLow + 1 : edge.High + 1;
        }

        return next == 0x110000 ? edges[0].Target : CharDfa.Dead;
    }
}

/// <summary>Where a JSON string is.</summary>
internal enum JsonStringPhase
{
    /// <summary>The opening quote comes.</summary>
    Before,

    /// <summary>Between the quotes, perhaps in a character's bytes.</summary>
    Inside,

    /// <summary>After a backslash.</summary>
    Escape,

    /// <summary>Among the digits of \uXXXX.</summary>
    Hex,

    /// <summary>After a high surrogate: the backslash of the low one comes.</summary>
    LowEscape,

    /// <summary>After that backslash.</summary>
    LowU,

    /// <summary>After the closing quote.</summary>
    After,
}

/// <summary>A state of a JSON string.</summary>
/// <param name="Phase">Where it is.</param>
/// <param name="At">The state of the value; a character's first bytes, or the digits of an escape.</param>
/// <param name="High">The high surrogate that was escaped, or 0.</param>
internal readonly record struct JsonStringState(JsonStringPhase Phase, PartialCharacter At, int High);
