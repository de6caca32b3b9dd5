namespace LocalLlm.Soak;

/// <summary>An answer: its text, its tokens, and how it ended.</summary>
internal sealed record Answer(string Text, List<TokenLogprob> Tokens, GenerationCompleted End);

/// <summary>
/// What requests are answered when each has an engine to itself, with nothing left from others. Answers are kept for those who ask again.
/// </summary>
internal sealed class SoloAnswers(string modelPath, KvCacheOptions cache, int threads) : IAsyncDisposable
{
    /// <summary>
    /// Two best tokens whose log probabilities are nearer than this are as good as equal: sums that were added in another order may swap them.
    /// </summary>
    private const double NearTie = 0.05;

    private readonly Dictionary<string, Answer> answers = [];
    private LlmEngine? engine;

    /// <summary>Answers computed.</summary>
    public int Count => answers.Count;

    /// <summary>Compares an answer with the one alone.</summary>
    /// <param name="request">The request.</param>
    /// <param name="answer">What was answered.</param>
    /// <param name="isExact">False where the cache may have been computed in other pieces, so that a near-tie may have gone the other way.</param>
    /// <returns>False if they differ by a near-tie.</returns>
    /// <exception cref="SoakException">They differ.</exception>
    public async Task<bool> CompareAsync(GenerationRequest request, Answer answer, bool isExact)
    {
        var expected = await AnswerAsync(request with { TopLogprobs = 20, Priority = 0 });
        var differs = Enumerable.Range(0, Math.Max(expected.Tokens.Count, answer.Tokens.Count)).FirstOrDefault(
            i => i >= expected.Tokens.Count || i >= answer.Tokens.Count || expected.Tokens[i].TokenId != answer.Tokens[i].TokenId, -1);
        if (differs < 0)
        {
            return expected.Text == answer.Text && expected.End.FinishReason == answer.End.FinishReason
                ? true
                : throw new SoakException($"The same tokens became '{answer.Text}' ({answer.End.FinishReason}) and alone '{expected.Text}' ({expected.End.FinishReason}).");
        }

        if (!isExact && differs < expected.Tokens.Count && differs < answer.Tokens.Count)
        {
            var alone = expected.Tokens[differs];
            if (alone.Top.FirstOrDefault(t => t.TokenId == answer.Tokens[differs].TokenId) is { } other && Math.Abs(alone.Logprob - other.Logprob) < NearTie)
                return false;
        }

        throw new SoakException($"An answer differs from the one alone at token {differs} of {answer.Tokens.Count}: '{answer.Text}' instead of '{expected.Text}'; "
            + $"there {Show(answer, differs)}, alone {Show(expected, differs)}; "
            + $"{answer.End.Usage.PromptTokens} prompt tokens, {answer.End.Usage.CachedPromptTokens} of them cached.");
    }

    public async ValueTask DisposeAsync()
    {
        if (engine is not null)
            await engine.DisposeAsync();
        engine = null;
    }

    private static string Show(Answer answer, int index) => index >= answer.Tokens.Count
        ? "the end"
        : $"'{answer.Tokens[index].Text}' at {answer.Tokens[index].Logprob:F3} [{string.Join(", ", answer.Tokens[index].Top.Take(4).Select(t => $"'{t.Text}' {t.Logprob:F3}"))}]";

    private async Task<Answer> AnswerAsync(GenerationRequest request)
    {
        var key = string.Join('\u0001', request.Turns.Select(t => $"{t.Role}\u0002{t.Content}"))
            + $"\u0001{request.MaxTokens}\u0001{request.Sampling?.Seed}\u0001{request.Constraint}";
        if (answers.TryGetValue(key, out var known))
            return known;
        engine ??= await LlmEngine.LoadAsync(new LlmEngineOptions
        {
            ModelPath = modelPath,
            MaxSequences = 1,
            Threads = threads,
            KvCache = cache with { RetainedConversations = 0, SpillDirectory = null, MemoryBytes = null },
        });
        var (text, tokens) = ("", new List<TokenLogprob>());
        await foreach (var update in engine.GenerateAsync(request))
        {
            if (update is TextDelta delta)
                text += delta.Text;
            else if (update is LogprobUpdate logprob)
                tokens.Add(logprob.Token);
            else if (update is GenerationCompleted end)
                return answers[key] = new Answer(text, tokens, end);
        }

        throw new SoakException("A solo run came to no end.");
    }
}
