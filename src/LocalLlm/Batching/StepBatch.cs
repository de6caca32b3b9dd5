using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Batching;

/// <summary>One sequence's share of a step: rows <see cref="Start"/> to <see cref="Start"/> + <see cref="Count"/> of the packed batch.</summary>
/// <param name="Cache">The sequence's cache before the step.</param>
/// <param name="Start">First row of the packed batch.</param>
/// <param name="Count">Number of rows, at least 1; their positions follow the cache's length.</param>
/// <param name="Plan">What appending the rows does to the cache.</param>
internal sealed record StepSlice(IKvCache Cache, int Start, int Count, AppendPlan Plan)
{
    /// <summary>
    /// Why this sequence cannot go on, set by the attention backend: its keys or values are not finite, or fit no page. Its rows of the step mean nothing from then on
    /// and its cache is to be disposed of; the other slices are not concerned.
    /// </summary>
    public LocalLlmException? Fault { get; private set; }

    /// <summary>Appends a segment of a layer to the cache; a failure becomes the slice's <see cref="Fault"/>.</summary>
    public void Append(int layer, Tensor k, Tensor v, int segment)
    {
        try
        {
            Cache.Append(layer, k, v, Plan, segment);
        }
        catch (LocalLlmException e)
        {
            Fault = e;
        }
    }

    /// <summary>Sets <see cref="Fault"/>, unless there is one already.</summary>
    public void Fail(LocalLlmException error) => Fault ??= error;
}

/// <summary>The packed tokens of one step: T rows of all its sequences, one after the other.</summary>
/// <param name="TokenIds">[T] int64.</param>
/// <param name="Positions">[T] int64, each token's position in its sequence from 0.</param>
/// <param name="LogitRows">[L] int64: the rows whose logits are wanted.</param>
/// <param name="Slices">The sequences, in the order of their rows.</param>
internal sealed record StepBatch(Tensor TokenIds, Tensor Positions, Tensor LogitRows, IReadOnlyList<StepSlice> Slices)
{
    /// <summary>
    /// Which rows are of which kind, for linear layers whose results shall not depend on what else is in the step; null where the fastest way is taken, whatever the
    /// last bits.
    /// </summary>
    public GeneratedRows? Generated { get; init; }
}

/// <summary>The rows of generated tokens, which come before those of prompts.</summary>
/// <param name="Rows">How many rows of the batch.</param>
/// <param name="LogitRows">How many of the rows with logits.</param>
internal sealed record GeneratedRows(int Rows, int LogitRows);
