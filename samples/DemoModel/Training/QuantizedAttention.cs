using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>
/// Causal attention that sees the keys and values of tokens far back as a 2-bit page holds them: keys per channel over a page's tokens, values
/// per token over the channels, four levels between minimum and maximum. A model trained so for its last minutes learns to leave room for the
/// rounding; gradients pass the rounding unchanged (straight-through, Bengio et al., 2013).
/// </summary>
internal static class QuantizedAttention
{
    /// <summary>Tokens of a page, and pages before the present one that are still seen in full precision.</summary>
    private const int PageTokens = 64, FullPages = 2;

    /// <param name="q">[batch, heads, tokens, dim].</param>
    /// <param name="k">[batch, heads, tokens, dim]; tokens a multiple of a page's.</param>
    /// <param name="v">[batch, heads, tokens, dim].</param>
    public static Tensor Attend(Tensor q, Tensor k, Tensor v)
    {
        long batch = k.shape[0], heads = k.shape[1], tokens = k.shape[2], dim = k.shape[3];
        Tensor oldK = Round(k.view(batch, heads, tokens / PageTokens, PageTokens, dim), 3).view(k.shape);
        Tensor oldV = Round(v, 3);

        Tensor page = arange(tokens).div(PageTokens, RoundingMode.floor);
        Tensor isOld = (page.unsqueeze(1) - page.unsqueeze(0)) > FullPages;          // [query, key]
        Tensor isFuture = ones(tokens, tokens, ScalarType.Bool).triu(1);
        Tensor scaled = q / Math.Sqrt(dim);
        Tensor scores = where(isOld, scaled.matmul(oldK.transpose(2, 3)), scaled.matmul(k.transpose(2, 3))).to(ScalarType.Float32);
        Tensor weights = scores.masked_fill(isFuture, float.NegativeInfinity).softmax(-1).to(q.dtype);
        return weights.masked_fill(isOld, 0).matmul(v) + weights.masked_fill(isOld.logical_not(), 0).matmul(oldV);
    }

    private static Tensor Round(Tensor x, long groupDimension)
    {
        using IDisposable noGrad = no_grad();
        Tensor low = x.amin([groupDimension], keepdim: true), step = (x.amax([groupDimension], keepdim: true) - low) / 3;
        Tensor rounded = ((x - low) / (step + 1e-6)).round() * step + low;
        Tensor difference = rounded - x;
        noGrad.Dispose();
        return x + difference;
    }
}
