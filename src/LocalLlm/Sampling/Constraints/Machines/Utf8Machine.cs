using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>A language of characters, in UTF-8. Bytes that no character of the language begins with are refused at once.</summary>
internal abstract class Utf8Machine(CharDfa language, CacheMeter meter) : ByteMachine(meter)
{
    private readonly Dictionary<StateKey, int> numbers = [];
    private readonly List<StateKey> keys = [];
    private int[]? plainReach;

    /// <summary>What a state stands for.</summary>
    protected enum Kind
    {
        /// <summary>Between characters.</summary>
        Boundary,

        /// <summary>In a character of which the bits so far are known; some of its continuations lead on.</summary>
        Partial,

        /// <summary>In a character all continuations of which lead to one state, so that its bits do not matter.</summary>
        Whole,

        /// <summary>A JSON string's opening quotation mark comes.</summary>
        Opening,

        /// <summary>After a JSON string's closing quotation mark.</summary>
        Closed,

        /// <summary>After a backslash.</summary>
        Escape,

        /// <summary>In the four hexadecimal digits of an escape.</summary>
        Hex,

        /// <summary>After a high surrogate: a backslash comes.</summary>
        LowBackslash,

        /// <summary>After a high surrogate and a backslash: a u comes.</summary>
        LowU,

        /// <summary>In the four hexadecimal digits of a low surrogate.</summary>
        LowHex,
    }

    protected CharDfa Language => language;

    /// <inheritdoc/>
    public override int PlainReach(int state)
    {
        var key = keys[state];
        return key.Kind == Kind.Boundary ? (plainReach ??= PlainCharacters.Reach(language))[key.Dfa] : 0;
    }

    protected StateKey Key(int state) => keys[state];

    protected int Number(Kind kind, int dfa, int value = 0, int count = 0)
    {
        var key = new StateKey(kind, dfa, value, count);
        if (!numbers.TryGetValue(key, out var number))
        {
            numbers.Add(key, number = keys.Count);
            keys.Add(key);
        }

        return number;
    }

    /// <summary>The state after a whole character, or <see cref="ByteMachine.Dead"/>.</summary>
    protected int After(int dfa, int rune) => language.Step(dfa, rune) is var next and not CharDfa.Dead ? Number(Kind.Boundary, next) : Dead;

    /// <summary>The state after a character's next byte in <see cref="Kind.Boundary"/>, <see cref="Kind.Partial"/> and <see cref="Kind.Whole"/>.</summary>
    protected int StepCharacter(StateKey key, byte value)
    {
        switch (key.Kind)
        {
            case Kind.Boundary:
                // Neither overlong forms, nor surrogates, nor what lies beyond U+10FFFF.
                return value switch
                {
                    < 0x80 => After(key.Dfa, value),
                    < 0xC2 => Dead,
                    < 0xE0 => InCharacter(key.Dfa, (value & 0x1F) << 6, 1),
                    0xE0 => InCharacter(key.Dfa, 0x800, 2),
                    < 0xF0 => InCharacter(key.Dfa, (value & 0x0F) << 12, 2),
                    0xF0 => InCharacter(key.Dfa, 0x10000, 3),
                    < 0xF5 => InCharacter(key.Dfa, (value & 0x07) << 18, 3),
                    _ => Dead,
                };
            case Kind.Whole when (value & 0xC0) == 0x80:
                return key.Count == 1 ? Number(Kind.Boundary, key.Dfa) : Number(Kind.Whole, key.Dfa, 0, key.Count - 1);
            case Kind.Partial when (value & 0xC0) == 0x80:
                var shift = 6 * (key.Count - 1);
                var low = (key.Value & ~((1 << (6 * key.Count)) - 1)) | ((value & 0x3F) << shift);
                if (low < (key.Value & ~((1 << shift) - 1)) || low > High(key.Value, key.Count))
                    return Dead;
                return shift == 0 ? After(key.Dfa, low) : InCharacter(key.Dfa, low, key.Count - 1);
            default:
                return Dead;
        }
    }

    /// <summary>The state in a character from which so many bytes are missing, if any such character leads on.</summary>
    private int InCharacter(int dfa, int low, int missing)
    {
        var high = High(low, missing);
        if (!language.IsLive(dfa, low, high))
            return Dead;
        if (high - low + 1 == 1 << (6 * missing))
        {
            foreach (var edge in language.Edges(dfa))
            {
                if (edge.Low <= low && edge.High >= high)
                    return Number(Kind.Whole, edge.Target, 0, missing);
            }
        }

        return Number(Kind.Partial, dfa, low, missing);
    }

    private static int High(int low, int missing) =>
        missing == 2 && low >> 12 == 0xD ? 0xD7FF : Math.Min(low | ((1 << (6 * missing)) - 1), 0x10FFFF);

    /// <summary>A state: where the character automaton stands, and what is known of the character under way.</summary>
    protected readonly record struct StateKey(Kind Kind, int Dfa, int Value, int Count);
}
