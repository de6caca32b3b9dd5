using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.Attention;

/// <summary>
/// Attention over a part of the tokens: its output and the log of its softmax's denominator. States over disjoint parts merge exactly into
/// the state over their union, in any order (online softmax, arXiv 1805.02867).
/// </summary>
/// <param name="Output">[Hkv, M, D] float32: Σ softmax(s)·v over this part; zero where a query sees none of its tokens.</param>
/// <param name="LogSumExp">[Hkv, M, 1] float32: log Σ exp(s); −∞ where a query sees none of its tokens.</param>
internal readonly record struct AttentionState(Tensor Output, Tensor LogSumExp)
{
    /// <summary>Attends to one part.</summary>
    /// <param name="q">[Hkv, M, D] float32, already scaled; M = g·n rows: the n queries of each of the g query heads of a KV head.</param>
    /// <param name="keys">[Hkv, T, D] float32.</param>
    /// <param name="values">[Hkv, T, D] float32.</param>
    /// <param name="hidden">[n, T] bool: true where a query must not see a token; null if every query sees all.</param>
    public static AttentionState Over(Tensor q, Tensor keys, Tensor values, Tensor? hidden)
    {
        var scores = q.bmm(keys.transpose(1, 2)); // [Hkv, g·n, T]
        if (hidden is null)
        {
            var lse = scores.logsumexp(-1, keepdim: true);
            return new AttentionState(scores.sub_(lse).exp_().bmm(values), lse);
        }

        var (queries, tokens) = (hidden.shape[0], hidden.shape[1]);
        scores.view(scores.shape[0], -1, queries, tokens).masked_fill_(hidden, Scalars.NegativeInfinity);
        var maskedLse = scores.logsumexp(-1, keepdim: true);
        // A query that sees nothing has −∞ everywhere; −∞ − −∞ would be NaN.
        var shift = maskedLse.clamp_min(Scalars.LowestFloat);
        return new AttentionState(scores.sub_(shift).exp_().bmm(values), maskedLse);
    }

    /// <summary>The state over the tokens of both parts. For each query at least one part must see a token.</summary>
    public AttentionState Merge(AttentionState other)
    {
        var lse = LogSumExp.logaddexp(other.LogSumExp);
        var output = Output * LogSumExp.sub(lse).exp_();
        return new AttentionState(output.addcmul_(other.Output, other.LogSumExp.sub(lse).exp_(), Scalars.One), lse);
    }
}
