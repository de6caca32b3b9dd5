namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>One control token: no bytes lead through it.</summary>
internal sealed class TokenMachine(int tokenId, CacheMeter meter) : ByteMachine(meter)
{
    /// <summary>The token.</summary>
    public int TokenId => tokenId;

    /// <inheritdoc/>
    public override int Start => 0;

    /// <inheritdoc/>
    public override bool IsAccepting(int state) => false;

    /// <inheritdoc/>
    public override bool CanContinue(int state) => true;

    protected override int Compute(int state, byte value) => Dead;
}
