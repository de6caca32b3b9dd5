using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>A state of an automaton over characters, and the beginning of the next character.</summary>
/// <param name="State">The automaton's state before that character.</param>
/// <param name="Bits">What its bytes have told so far.</param>
/// <param name="Left">Bytes that it still lacks; 0 where none has begun.</param>
internal readonly record struct PartialCharacter(int State, int Bits, int Left);

/// <summary>Automata over characters, stepped by the bytes of UTF-8.</summary>
internal static class Utf8
{
    /// <summary>What follows a byte, overlong forms and surrogates excluded; null if the bytes begin no character that leads on.</summary>
    public static PartialCharacter? Step(CharDfa language, PartialCharacter at, byte next)
    {
        if (at.Left == 0)
        {
            return next switch
            {
                < 0x80 => Whole(language, at.State, next),
                >= 0xC2 and < 0xE0 => Live(language, new PartialCharacter(at.State, next & 0x1F, 1)),
                >= 0xE0 and < 0xF0 => Live(language, new PartialCharacter(at.State, next & 0x0F, 2)),
                >= 0xF0 and < 0xF5 => Live(language, new PartialCharacter(at.State, next & 0x07, 3)),
                _ => null,
            };
        }

        if ((next & 0xC0) != 0x80)
            return null;
        var bits = (at.Bits << 6) | (next & 0x3F);
        return at.Left == 1 ? Whole(language, at.State, bits) : Live(language, new PartialCharacter(at.State, bits, at.Left - 1));
    }

    /// <summary>What follows a character; null if it does not lead on.</summary>
    public static PartialCharacter? Whole(CharDfa language, int state, int rune) =>
        language.Step(state, rune) is var target && target != CharDfa.Dead ? new PartialCharacter(target, 0, 0) : null;

    private static PartialCharacter? Live(CharDfa language, PartialCharacter at)
    {
        // The least value that is not overlong. Two bytes missing and few bits: the lead byte of three; many: the second byte of four.
        var least = at.Left switch
        {
            3 => 0x10000,
            2 when at.Bits < 0x10 => 0x800,
            _ => 0,
        };
        var shift = 6 * at.Left;
        return language.IsLive(at.State, Math.Max(least, at.Bits << shift), Math.Min(0x10FFFF, ((at.Bits + 1) << shift) - 1)) ? at : null;
    }
}
