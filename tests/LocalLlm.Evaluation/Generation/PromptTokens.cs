using LocalLlm.Chat;
using LocalLlm.Evaluation.Models;
using LocalLlm.Loading;
using LocalLlm.Tokenization;

namespace LocalLlm.Evaluation.Generation;

/// <summary>Counts a request's tokens as the engine will, without the model's weights.</summary>
internal sealed class PromptTokens
{
    private readonly ChatFormat? chat;
    private readonly TextTokenizer tokenizer;

    /// <summary>Reads a model folder.</summary>
    /// <exception cref="ModelLoadException">It is wrong.</exception>
    public PromptTokens(ModelSource source)
    {
        using var folder = ModelFolder.Open(source.Folder);
        folder.ThrowIfInvalid(null);
        tokenizer = TextTokenizer.Load(source.Folder);
        chat = ChatFormat.TryLoad(source.Folder, tokenizer.SpecialTokenTexts, null);
        ContextTokens = folder.Config!.MaxPositions;
    }

    /// <summary>The model's context.</summary>
    public int ContextTokens { get; }

    /// <summary>True if the folder has a chat template.</summary>
    public bool HasChat => chat is not null;

    /// <summary>Tokens of a request's prompt.</summary>
    public int Count(GenerationRequest request) => request.Prompt is { } prompt
        ? tokenizer.Encode([new PromptSegment(prompt, IsTemplate: false)], addBos: true).Length
        : tokenizer.Encode(chat!.Render(request, TimeProvider.System).Segments, addBos: false).Length;

    /// <summary>
    /// The beginning and the end of a text, as many tokens of each, so that the request made of it has at most
    /// <paramref name="most"/> tokens. The text itself if it fits.
    /// </summary>
    /// <exception cref="ArgumentException">What the template adds alone is too long.</exception>
    public string CutMiddle(string text, Func<string, GenerationRequest> request, int most)
    {
        var ids = tokenizer.Encode(text);
        var kept = text;
        // What lies at the cut may be encoded otherwise than before: then a little less is kept.
        for (var half = ids.Length / 2; Count(request(kept)) is var count && count > most;)
        {
            half -= Math.Max(1, (count - most + 1) / 2);
            if (half < 1)
                throw new ArgumentException($"The prompt without its text has more than {most} tokens; raise --context.");
            kept = tokenizer.Decode(ids.AsSpan(0, half)) + tokenizer.Decode(ids.AsSpan(ids.Length - half));
        }

        return kept;
    }
}
