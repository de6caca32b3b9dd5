namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>A punctuation mark of JSON with white space around it, or white space alone, each run of white space with a bound.</summary>
/// <param name="mark">The mark; null for white space alone.</param>
/// <param name="spaceBefore">Whether white space may come before the mark.</param>
/// <param name="spaceAfter">Whether white space may come after the mark, or is all there is.</param>
/// <param name="meter">Counts what is kept.</param>
internal sealed class JsonPunctuationMachine(char? mark, bool spaceBefore, bool spaceAfter, CacheMeter meter) : ByteMachine(meter)
{
    /// <summary>The longest run of white space, in bytes.</summary>
    public const int MaxSpace = 64;

    // States up to this count the white space before the mark; the rest count what comes after it.
    private const int AfterMark = MaxSpace + 1;

    /// <inheritdoc/>
    public override int Start => mark is null ? AfterMark : 0;

    /// <inheritdoc/>
    public override bool IsAccepting(int state) => state >= AfterMark;

    /// <inheritdoc/>
    public override bool CanContinue(int state) => state < AfterMark || (spaceAfter && state < AfterMark + MaxSpace);

    protected override int Compute(int state, byte value)
    {
        if (state < AfterMark && value == mark)
            return AfterMark;
        if (value is not ((byte)' ' or (byte)'\t' or (byte)'\n' or (byte)'\r'))
            return Dead;
        return state < AfterMark ? (spaceBefore && state < MaxSpace ? state + 1 : Dead) : (CanContinue(state) ? state + 1 : Dead);
    }
}
