namespace LocalLlm;

/// <summary>
/// The kind of KV cache: which tokens stay in full precision, and what becomes of the others. All but <see cref="Dense"/> use the same
/// pages.
/// </summary>
public enum KvCacheKind
{
    /// <summary>A log-distributed set and the recent tokens in full precision, the others in pages (arXiv 2503.19950).</summary>
    LogQuant,

    /// <summary>
    /// As <see cref="LogQuant"/>, but the values of the log-distributed set are quantised too: only its keys stay in full precision.
    /// </summary>
    PartialLogQuant,

    /// <summary>
    /// The first tokens and a recent window in full precision, the others in pages; as many in full precision as <see cref="LogQuant"/>.
    /// </summary>
    StreamingQuant,

    /// <summary>
    /// Recent tokens in full precision up to <see cref="KvCacheOptions.Window"/>; then all of them go to pages (arXiv 2402.02750).
    /// </summary>
    Kivi,

    /// <summary>
    /// As <see cref="Kivi"/>, but the end of a prompt sends all that fills whole pages there, as Hugging Face's quantised cache does.
    /// </summary>
    HuggingFaceKivi,

    /// <summary>Every token in full precision.</summary>
    Dense,

    /// <summary>
    /// The first tokens and a recent window; the others are forgotten. For comparisons: the model loses what it was told.
    /// </summary>
    StreamingLlm,

    /// <summary>What <see cref="LogQuant"/> keeps in full precision; the others are forgotten. For comparisons.</summary>
    LogEvict,
}
