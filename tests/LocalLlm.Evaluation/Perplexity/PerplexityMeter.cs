using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Perplexity;

/// <summary>Sums what a method's cache makes the model think of a text's tokens, each predicted through the decode path.</summary>
internal static class PerplexityMeter
{
    /// <summary>Runs the text.</summary>
    /// <exception cref="LocalLlmException">Numbers are not finite, or fit no page.</exception>
    public static PerplexityResult Measure(
        EvaluatedModel model, PerplexityText scored, Method method, string series, CancellationToken cancellationToken)
    {
        var text = scored.Text;
        var caches = method.For(model.Shape);
        var written = text.Spans.SelectMany(s => Enumerable.Range(s.Start, s.End - s.Start)).ToHashSet();
        var (all, ofWritten, hits) = (default(LikelihoodSum), default(LikelihoodSum), 0);
        var byPosition = new LikelihoodSum[PerplexityResult.Octave(text.Ids.Count - 1) + 1];
        using (var cache = caches.Create())
        {
            TeacherForcing.Run(model, cache, text.Ids, Add, text.PromptEnds, cancellationToken);
        }

        var bits = caches.BitsOver(text.Ids.Count, text.PromptEnds);
        return new(series, text.Name, bits.Average, bits.Peak, all, ofWritten, hits, byPosition);

        void Add(int first, Tensor logits)
        {
            // Row i of the chunk predicts token first + i + 1; the text's last row predicts nothing.
            var rows = (int)Math.Min(logits.shape[0], text.Ids.Count - 1 - first);
            if (rows <= 0)
                return;
            using var scope = NewDisposeScope();
            var used = logits.narrow(0, 0, rows);                                                                 // [n, V]
            var ids = tensor(Enumerable.Range(first + 1, rows).Select(i => (long)text.Ids[i]).ToArray());         // [n]
            var nats = nn.functional.cross_entropy(used, ids, reduction: nn.Reduction.None).data<float>().ToArray();
            var best = used.argmax(1).data<long>().ToArray();
            for (var i = 0; i < rows; i++)
            {
                var at = first + i + 1;
                if (at < scored.FirstScored)
                    continue;
                var one = new LikelihoodSum(nats[i], 1);
                all += one;
                byPosition[PerplexityResult.Octave(at)] += one;
                if (written.Contains(at))
                    ofWritten += one;
                if (best[i] == text.Ids[at])
                    hits++;
            }
        }
    }
}
