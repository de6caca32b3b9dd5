using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// The keys and values of one sequence, all layers. A step plans once, then for each layer attends and appends, then commits; a cache whose
/// step failed between the two is disposed of. Owned by the engine thread, which calls it under inference mode or no_grad.
/// </summary>
internal interface IKvCache : IDisposable
{
    /// <summary>Committed tokens.</summary>
    int Length { get; }

    /// <summary>The pieces of the pool's memory that it holds, each once; some may be shared with forks.</summary>
    IEnumerable<KvUnit> Units { get; }

    /// <summary>Bytes held, everything counted: codes, scales, positions, rows, reserved slots. Pages shared by forks count in each of them.</summary>
    long Bytes => Units.Sum(u => u.Bytes);

    /// <summary>
    /// Bytes that must be free in the pool for <see cref="Reserve"/>: what is taken, and what is held twice for a moment; 0 if there is room already.
    /// Between steps only.
    /// </summary>
    long GrowthBytes(int length);

    /// <summary>
    /// Takes the memory for all appends up to <paramref name="length"/> tokens and for a prompt that ends there, so that none of them takes any. Between steps only.
    /// </summary>
    /// <exception cref="KvMemoryException">Less than <see cref="GrowthBytes"/> is free; what was taken so far is held.</exception>
    void Reserve(int length);

    /// <summary>Plans the append of <paramref name="count"/> ≥ 1 tokens after <see cref="Length"/>. Pure arithmetic: changes nothing.</summary>
    AppendPlan PlanAppend(int count);

    /// <summary>What one layer holds now, in no particular order. Borrowed: valid until the next append to this layer.</summary>
    KvView View(int layer);

    /// <summary>What one layer of a cache on the CPU holds now, as <see cref="View"/> does, for kernels over raw memory. Valid until the next append to this layer.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="withPositions">True where the tokens' positions are needed.</param>
    /// <param name="runs">Receives the runs; empty ones are left out.</param>
    /// <returns>The layout of the packed runs; null if none is packed.</returns>
    PageLayout? AddRuns(int layer, bool withPositions, List<KvRun> runs);

    /// <summary>
    /// Appends the fresh tokens of one segment of <paramref name="plan"/> to a layer. Segments come in order; all segments of a layer before
    /// <see cref="Commit"/>.
    /// </summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="k">[segment count, Hkv, D], after rotary embedding.</param>
    /// <param name="v">[segment count, Hkv, D].</param>
    /// <param name="plan">The step's plan.</param>
    /// <param name="segment">Which segment of the plan.</param>
    /// <exception cref="LocalLlmException">A number is NaN or infinite, or fits no page; the message names the layer. The cache is to be disposed of.</exception>
    void Append(int layer, Tensor k, Tensor v, AppendPlan plan, int segment);

    /// <summary>Makes the step's tokens part of <see cref="Length"/>, after the last layer.</summary>
    void Commit(AppendPlan plan);

    /// <summary>
    /// Tells that a prompt ends here, before the first token after it is sampled. Changes something only where the policy says so; told again at the same
    /// length it changes nothing.
    /// </summary>
    /// <exception cref="LocalLlmException">Numbers fit no page. The cache is to be disposed of.</exception>
    void EndPrompt();

    /// <summary>A cache with the same content that goes its own way: pages are shared by reference count, rows copied.</summary>
    /// <exception cref="KvMemoryException">The pool has no room for the copy.</exception>
    IKvCache Fork() => Fork(Length);

    /// <summary>A cache with the first <paramref name="length"/> tokens of this one, as <see cref="Fork()"/> and <see cref="Truncate"/> make it.</summary>
    /// <exception cref="InvalidOperationException">It cannot be truncated to that length.</exception>
    /// <exception cref="KvMemoryException">The pool has no room for the copy.</exception>
    IKvCache Fork(int length);

    /// <summary>Bytes that must be free in the pool to fork at <paramref name="length"/> and let the fork grow to <paramref name="grownTo"/> tokens.</summary>
    long ForkBytes(int length, int grownTo);

    /// <summary>True if <see cref="Truncate"/> to this length can be done exactly.</summary>
    bool CanTruncate(int length);

    /// <summary>Drops all tokens from position <paramref name="length"/> on.</summary>
    /// <exception cref="InvalidOperationException">Tokens needed at that length were already moved to a page.</exception>
    void Truncate(int length);
}
