using System.Text;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Sampling.Constraints;

/// <summary>What constraints allow and how texts come of them, over small vocabularies and real tokenizers.</summary>
internal static class ConstrainedText
{
    /// <summary>A vocabulary of all bytes, some texts, a control token and an end token.</summary>
    public static ConstraintVocabulary Vocabulary(params string[] texts) =>
        ConstraintVocabulary.Create(Tokens(texts), [Control, End], [End], 258 + texts.Length);

    /// <summary>Bytes are their own ids; then come these two and the texts.</summary>
    public const int Control = 256;

    public const int End = 257;

    public static ReadOnlyMemory<byte>[] Tokens(params string[] texts) =>
    [
        .. Enumerable.Range(0, 256).Select(b => (ReadOnlyMemory<byte>)new[] { (byte)b }), "<control>"u8.ToArray(), "<end>"u8.ToArray(),
        .. texts.Select(t => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(t)),
    ];

    /// <summary>The tokens that can come next.</summary>
    public static int[] Allowed(TokenConstraint constraint, ConstraintVocabulary vocabulary)
    {
        var logits = new float[vocabulary.LogitCount];
        constraint.Mask(logits);
        return [.. Enumerable.Range(0, logits.Length).Where(id => logits[id] == 0)];
    }

    /// <summary>Whether a text can be written byte by byte, and whether it may end there.</summary>
    public static (bool IsPrefix, bool MayEnd) Read(GrammarNode grammar, ReadOnlySpan<byte> text)
    {
        var vocabulary = Vocabulary();
        var constraint = CompiledGrammar.Create(grammar, vocabulary).Start();
        foreach (var value in text)
        {
            if (!Allowed(constraint, vocabulary).Contains(value))
                return (false, false);
            constraint.Accept(value);
        }

        return (true, constraint.MayEnd);
    }

    public static bool Accepts(GrammarNode grammar, string text) => Read(grammar, Encoding.UTF8.GetBytes(text)).MayEnd;

    /// <summary>The text of random tokens until the end, which is taken as soon as it is there; null where it does not come soon enough.</summary>
    public static string? Generate(TokenConstraint constraint, ConstraintVocabulary vocabulary, TextTokenizer tokenizer, Random random, int most, Func<int, float> weight)
    {
        var decoder = new StreamingDecoder(tokenizer, atBeginning: true);
        var text = new StringBuilder();
        var logits = new float[vocabulary.LogitCount];
        for (var count = 0; count < most; count++)
        {
            for (var id = 0; id < logits.Length; id++)
                logits[id] = random.NextSingle() + weight(id);
            constraint.Mask(logits);
            foreach (var id in vocabulary.EndIds)
                logits[id] += 100;
            var best = 0;
            for (var id = 1; id < logits.Length; id++)
                best = logits[id] > logits[best] ? id : best;
            logits[best].ShouldNotBe(float.NegativeInfinity);
            constraint.Accept(best);
            if (vocabulary.EndIds.Contains(best))
                return text.Append(decoder.Flush()).ToString();
            text.Append(decoder.Add(best));
        }

        return null;
    }
}
