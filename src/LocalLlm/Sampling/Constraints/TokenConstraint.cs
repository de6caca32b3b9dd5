namespace LocalLlm.Sampling.Constraints;

/// <summary>Where one generation stands in a grammar. Not thread-safe; one for each sequence.</summary>
internal abstract class TokenConstraint
{
    /// <summary>Sets the logits of all tokens that cannot come next to negative infinity; at least one is left.</summary>
    /// <param name="logits">[vocabulary].</param>
    public abstract void Mask(Span<float> logits);

    /// <summary>Takes the next token.</summary>
    /// <exception cref="InvalidOperationException">It cannot come next.</exception>
    public abstract void Accept(int tokenId);

    /// <summary>Whether the output may end here.</summary>
    public abstract bool MayEnd { get; }
}
