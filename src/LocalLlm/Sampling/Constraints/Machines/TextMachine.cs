using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>Text of a language as it is.</summary>
internal sealed class TextMachine(CharDfa language, CacheMeter meter) : Utf8Machine(language, meter)
{
    /// <inheritdoc/>
    public override int Start => Number(Kind.Boundary, Language.Start);

    /// <inheritdoc/>
    public override bool IsAccepting(int state) => Key(state) is { Kind: Kind.Boundary } key && Language.IsAccepting(key.Dfa);

    /// <inheritdoc/>
    public override bool CanContinue(int state) => Key(state) is not { Kind: Kind.Boundary } key || Language.Edges(key.Dfa).Length > 0;

    /// <inheritdoc/>
    public override int PlainReach(int state) =>
        // Text may end within a token, which then goes on with what follows: a bound on its characters is none on the token's.
        base.PlainReach(state) is int.MaxValue ? int.MaxValue : 0;

    protected override int Compute(int state, byte value) => StepCharacter(Key(state), value);
}
