namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// JSON's insignificant white space as models are trained to write it: nothing, one space, or a line break (an empty line at most) and an
/// indentation. A model that would rather write something else does not get far with white space.
/// </summary>
internal sealed class JsonSpaceMachine : ByteMachine
{
    /// <summary>The most spaces or tabs after a line break: 12 levels of two.</summary>
    public const int MaxIndentation = 24;

    private const int Return = 1, Space = 2, Line = 3, SecondLine = 4, Indentation = 5;

    public JsonSpaceMachine()
    {
        for (var state = 0; state < Indentation + MaxIndentation; state++)
            AddState(isAccepting: state != Return);
    }

    protected override int Next(int state, byte next) => (next, state) switch
    {
        ((byte)' ', Start) => Space,
        ((byte)'\r', Start) => Return,
        ((byte)'\n', Start or Return) => Line,
        ((byte)'\n', Line) => SecondLine,
        ((byte)' ' or (byte)'\t', Line or SecondLine) => Indentation,
        ((byte)' ' or (byte)'\t', >= Indentation and < Indentation + MaxIndentation - 1) => state + 1,
        _ => Dead,
    };
}
