using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// A JSON string, quotation marks included, whose value is of a language. Any character may be escaped; controls, quotation mark and backslash must
/// be. Lone surrogates stand for no character and are refused.
/// </summary>
internal sealed class JsonStringMachine(CharDfa language, CacheMeter meter) : Utf8Machine(language, meter)
{
    private const int HighFirst = 0xD800;
    private const int LowFirst = 0xDC00;
    private const int SurrogateEnd = 0xE000;

    /// <inheritdoc/>
    public override int Start => Number(Kind.Opening, 0);

    /// <inheritdoc/>
    public override bool IsAccepting(int state) => Key(state).Kind == Kind.Closed;

    /// <inheritdoc/>
    public override bool CanContinue(int state) => Key(state).Kind != Kind.Closed;

    protected override int Compute(int state, byte value)
    {
        var key = Key(state);
        switch (key.Kind)
        {
            case Kind.Boundary when value == '"':
                return Language.IsAccepting(key.Dfa) ? Number(Kind.Closed, 0) : Dead;
            case Kind.Boundary when value == '\\':
                return Language.Edges(key.Dfa).Length > 0 ? Number(Kind.Escape, key.Dfa) : Dead;
            case Kind.Boundary when value < 0x20:
                return Dead;
            case Kind.Opening:
                return value == '"' ? Number(Kind.Boundary, Language.Start) : Dead;
            case Kind.Escape when value == 'u':
                return Number(Kind.Hex, key.Dfa);
            case Kind.Escape:
                return Unescape(value) is > 0 and var rune ? After(key.Dfa, rune) : Dead;
            case Kind.LowBackslash:
                return value == '\\' ? Number(Kind.LowU, key.Dfa, key.Value) : Dead;
            case Kind.LowU:
                return value == 'u' ? Number(Kind.LowHex, key.Dfa, key.Value << 16) : Dead;
            case Kind.Hex:
                return StepHex(key, value);
            case Kind.LowHex:
                return StepLowHex(key, value);
            default:
                return StepCharacter(key, value);
        }
    }

    private static int Unescape(byte value) => value switch
    {
        (byte)'"' or (byte)'\\' or (byte)'/' => value,
        (byte)'b' => '\b',
        (byte)'f' => '\f',
        (byte)'n' => '\n',
        (byte)'r' => '\r',
        (byte)'t' => '\t',
        _ => 0,
    };

    private static int HexDigit(byte value) => value switch
    {
        >= (byte)'0' and <= (byte)'9' => value - '0',
        >= (byte)'a' and <= (byte)'f' => value - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => value - 'A' + 10,
        _ => -1,
    };

    private int StepHex(StateKey key, byte value)
    {
        if (HexDigit(value) is not (>= 0 and var digit))
            return Dead;
        var (unit, count) = ((key.Value << 4) | digit, key.Count + 1);
        if (count == 4 && unit is < HighFirst or >= SurrogateEnd)
            return After(key.Dfa, unit);
        var (low, high) = (unit << (4 * (4 - count)), ((unit + 1) << (4 * (4 - count))) - 1);
        var alive = Language.IsLive(key.Dfa, low, high) || (low < LowFirst && high >= HighFirst
            && IsPairLive(key.Dfa, Math.Max(low, HighFirst), LowFirst, Math.Min(high, LowFirst - 1), SurrogateEnd - 1));
        if (!alive)
            return Dead;
        return count < 4 ? Number(Kind.Hex, key.Dfa, unit, count) : Number(Kind.LowBackslash, key.Dfa, unit);
    }

    private int StepLowHex(StateKey key, byte value)
    {
        if (HexDigit(value) is not (>= 0 and var digit))
            return Dead;
        var (pair, unit, count) = (key.Value >>> 16, ((key.Value & 0xFFFF) << 4) | digit, key.Count + 1);
        var low = Math.Max(unit << (4 * (4 - count)), LowFirst);
        var high = Math.Min(((unit + 1) << (4 * (4 - count))) - 1, SurrogateEnd - 1);
        if (low > high || !IsPairLive(key.Dfa, pair, low, pair, high))
            return Dead;
        return count < 4 ? Number(Kind.LowHex, key.Dfa, (pair << 16) | unit, count) : After(key.Dfa, Pair(pair, unit));
    }

    private bool IsPairLive(int dfa, int high, int low, int lastHigh, int lastLow) => Language.IsLive(dfa, Pair(high, low), Pair(lastHigh, lastLow));

    private static int Pair(int high, int low) => 0x10000 + ((high - HighFirst) << 10) + (low - LowFirst);
}
