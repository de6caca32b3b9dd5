using System.Text;
using LocalLlm.Sampling.Constraints;

namespace LocalLlm.Tests.Sampling.Constraints.Answers;

/// <summary>A vocabulary of single bytes and some control tokens, by which texts are held against a grammar.</summary>
internal sealed class ByteVocabulary
{
    private const int End = 0;

    private readonly string[] markers;

    /// <param name="markers">The texts that are control tokens.</param>
    public ByteVocabulary(params string[] markers)
    {
        this.markers = markers;
        var tokens = new ReadOnlyMemory<byte>[1 + markers.Length + 256];
        for (var b = 0; b < 256; b++)
            tokens[1 + markers.Length + b] = new[] { (byte)b };
        Vocabulary = new ConstraintVocabulary(tokens, null, [.. tokens.Select((_, i) => i <= markers.Length)], [End], tokens.Length);
    }

    public ConstraintVocabulary Vocabulary { get; }

    /// <summary>The control token of a marker, or null if it has none.</summary>
    public int? ControlToken(string marker) => Array.IndexOf(markers, marker) is >= 0 and var index ? index + 1 : null;

    /// <summary>The tokens of a text, in which markers in single angle quotes, ‹like this›, are control tokens.</summary>
    public IEnumerable<int> Tokens(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            if (text[at] == '‹')
            {
                var end = text.IndexOf('›', at);
                yield return ControlToken(text[(at + 1)..end]) ?? throw new ArgumentException($"'{text[(at + 1)..end]}' is no control token.");
                at = end + 1;
                continue;
            }

            var length = char.IsHighSurrogate(text[at]) ? 2 : 1;
            foreach (var value in Encoding.UTF8.GetBytes(text.Substring(at, length)))
                yield return 1 + markers.Length + value;
            at += length;
        }
    }

    /// <summary>Whether a text is a whole answer of the grammar ("whole"), the beginning of one ("part"), or where it fails ("no at N").</summary>
    public string Judge(GrammarNode grammar, string text)
    {
        var constraint = (GrammarConstraint)CompiledGrammar.Create(grammar, Vocabulary).Start();
        var at = 0;
        foreach (var token in Tokens(text))
        {
            if (!constraint.Allows(token))
                return $"no at {at}";
            constraint.Accept(token);
            at++;
        }

        return constraint.MayEnd ? "whole" : "part";
    }
}
