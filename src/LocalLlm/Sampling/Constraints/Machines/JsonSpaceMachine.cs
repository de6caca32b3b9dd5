namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>JSON's insignificant white space.</summary>
internal sealed class JsonSpaceMachine : ByteMachine
{
    /// <summary>The most bytes: enough for an indentation of any sensible depth.</summary>
    public const int MaxBytes = 64;

    public JsonSpaceMachine()
    {
        for (var state = 0; state <= MaxBytes; state++)
            AddState(isAccepting: true);
    }

    protected override int Next(int state, byte next) => next is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n' && state < MaxBytes ? state + 1 : Dead;
}
