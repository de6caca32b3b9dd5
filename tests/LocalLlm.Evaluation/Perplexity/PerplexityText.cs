using LocalLlm.Evaluation.Decoding;
using LocalLlm.Evaluation.Generation;
using LocalLlm.Evaluation.Models;

namespace LocalLlm.Evaluation.Perplexity;

/// <summary>A text and from where on its tokens count.</summary>
/// <param name="Text">The text.</param>
/// <param name="FirstScored">Index of the first token that is predicted and counted, at least 1; those before it are only context.</param>
internal sealed record PerplexityText(EvaluatedText Text, int FirstScored)
{
    /// <summary>Windows that slide over a file's text: each token counts once.</summary>
    /// <param name="model">The model.</param>
    /// <param name="file">The file.</param>
    /// <param name="count">The most windows.</param>
    /// <param name="tokens">The longest window.</param>
    /// <param name="stride">From a window's beginning to the next one's.</param>
    /// <exception cref="ArgumentException">The file is missing, or has no two tokens.</exception>
    public static IEnumerable<PerplexityText> Slide(EvaluatedModel model, string file, int count, int tokens, int stride)
    {
        if (!File.Exists(file))
            throw new ArgumentException($"--text: there is no file '{file}'.");
        var ids = model.Tokenizer.Encode(File.ReadAllText(file));
        int[] bos = model.Tokenizer is { AddsBos: true, BosId: { } id } ? [id] : [];
        if (bos.Length + ids.Length < 2)
            throw new ArgumentException($"--text: '{file}' has {ids.Length} tokens for {model.Name}; at least 2 are needed.");
        return Windows(ids.Length, tokens - bos.Length, stride).Take(count).Select(w =>
        {
            int[] part = [.. bos, .. ids.AsSpan(w.Start, w.End - w.Start)];
            // Without a token before it the first cannot be predicted.
            var first = Math.Max(1, w.FirstScored - w.Start + bos.Length);
            var hash = FileHash.OfText(string.Join(',', part));
            var name = $"{Path.GetFileName(file)} {w.Start}-{w.End} from {first} ({part.Length} tokens, {hash})";
            return new PerplexityText(new EvaluatedText(name, part, []), first);
        });
    }

    /// <summary>Where windows begin and end and from where on they count, in tokens of the file. The last one ends with the file.</summary>
    public static IEnumerable<(int Start, int End, int FirstScored)> Windows(int total, int length, int stride)
    {
        var scored = 0;
        for (var start = 0; scored < total; start += stride)
        {
            var end = Math.Min(start + length, total);
            yield return (start, end, scored);
            scored = end;
        }
    }
}
