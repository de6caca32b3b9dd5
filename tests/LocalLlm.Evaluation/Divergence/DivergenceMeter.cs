using System.Globalization;
using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>Compares methods with the full-precision cache on one text, whose logits it computes once and keeps.</summary>
internal sealed class DivergenceMeter : IDisposable
{
    private const long MostBytes = 6L << 30;

    private readonly EvaluatedModel model;
    private readonly EvaluatedText text;
    private readonly Tensor expected; // [n - 1, V] float32

    /// <summary>Runs the text through the full-precision cache.</summary>
    /// <exception cref="ArgumentException">Its logits take too much memory.</exception>
    public DivergenceMeter(EvaluatedModel model, EvaluatedText text, CancellationToken cancellationToken)
    {
        (this.model, this.text) = (model, text);
        var (rows, vocabulary) = (text.Ids.Count - 1, (long)model.Decoder.Config.VocabSize);
        if (rows * vocabulary * sizeof(float) > MostBytes)
        {
            throw new ArgumentException($"The logits of {text.Ids.Count} tokens take {rows * vocabulary * sizeof(float) >> 20} MiB, "
                + $"at most {MostBytes >> 20} MiB are kept; "
                + $"lower --tokens to {MostBytes / sizeof(float) / vocabulary} or less for {model.Name}.");
        }

        using var scope = NewDisposeScope();
        expected = empty([rows, vocabulary], ScalarType.Float32).DetachFromDisposeScope();
        using var cache = MethodCatalog.Dense.For(model.Shape).Create();
        try
        {
            Run(cache, (first, logits) => expected.narrow(0, first, logits.shape[0]).copy_(logits), cancellationToken);
        }
        catch
        {
            expected.Dispose();
            throw;
        }
    }

    /// <summary>Runs the text through a method's cache.</summary>
    /// <returns>Of each row the divergence in nats, and the rows whose most probable token is another.</returns>
    public (float[] Kl, int[] Disagreements) Measure(MethodCaches caches, CancellationToken cancellationToken)
    {
        var kl = new float[text.Ids.Count - 1];
        var disagreements = new List<int>();
        using var cache = caches.Create();
        Run(cache, Compare, cancellationToken);
        return (kl, [.. disagreements]);

        void Compare(int first, Tensor logits)
        {
            using var scope = NewDisposeScope();
            var reference = expected.narrow(0, first, logits.shape[0]);
            Divergence(reference, logits).data<double>().ToArray().Select(Rounded).ToArray().CopyTo(kl, first);
            var same = reference.argmax(-1).eq(logits.argmax(-1)).data<bool>().ToArray();
            disagreements.AddRange(Enumerable.Range(0, same.Length).Where(row => !same[row]).Select(row => first + row));
        }
    }

    /// <summary>KL(p ‖ q) in nats of each row's distributions, computed in double precision.</summary>
    /// <param name="p">[n, V] logits.</param>
    /// <param name="q">[n, V] logits.</param>
    /// <returns>[n] float64.</returns>
    public static Tensor Divergence(Tensor p, Tensor q)
    {
        using var scope = NewDisposeScope();
        var logP = nn.functional.log_softmax(p.to(ScalarType.Float64), -1);
        var logQ = nn.functional.log_softmax(q.to(ScalarType.Float64), -1);
        return logP.exp().mul(logP.sub(logQ)).sum(-1).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose() => expected.Dispose();

    // Four significant digits are stored: the sum over a text is exact to as many.
    private static float Rounded(double kl) =>
        kl <= 0 ? 0 : float.Parse(kl.ToString("E3", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    // The last token predicts nothing that the text holds.
    private void Run(KvCache.IKvCache cache, Action<int, Tensor> consume, CancellationToken cancellationToken) =>
        TeacherForcing.Run(model, cache, [.. text.Ids.Take(text.Ids.Count - 1)], consume, text.PromptEnds, cancellationToken);
}
