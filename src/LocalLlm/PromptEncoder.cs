using LocalLlm.Chat;
using LocalLlm.KvCache;
using LocalLlm.Sampling;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Answers;
using LocalLlm.Scheduling;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;

namespace LocalLlm;

/// <summary>A request, checked and encoded.</summary>
/// <param name="Sequence">What the engine loop runs.</param>
/// <param name="Parser">Parses the output; null where the output is plain text.</param>
/// <param name="Conversation">The conversation's prompt, by which its answer will be remembered; null for a raw prompt.</param>
internal sealed record EncodedPrompt(SequenceRequest Sequence, ChatOutputParser? Parser, KnownPrompt? Conversation);

/// <summary>Checks requests, renders conversations by the model's chat template and encodes them. Safe for concurrent use.</summary>
internal sealed class PromptEncoder(
    TextTokenizer tokenizer,
    ChatFormat? chat,
    SamplingOptions modelSampling,
    IReadOnlySet<int> endIds,
    int contextTokens,
    int vocabularySize,
    KvCacheFactory caches,
    long memoryBytes,
    TimeProvider time)
{
    private readonly AnswerConstraints constraints = new(tokenizer, endIds, vocabularySize);
    // Sixteen million ids are 64 MB.
    private readonly WrittenMessages written = new(tokenizer, maxTokens: 16L << 20);

    /// <summary>The model's tokenizer.</summary>
    public TextTokenizer Tokenizer => tokenizer;

    /// <summary>Remembers an answer that came to its own end, so that its conversation, when it comes back, has the same tokens.</summary>
    public void Remember(EncodedPrompt prompt, IReadOnlyList<int> sampledIds, WrittenMessage message)
    {
        if (prompt.Conversation is { } conversation && sampledIds.Count > 0 && endIds.Contains(sampledIds[^1]))
            written.Remember(conversation, sampledIds, message);
    }

    /// <summary>Checks and encodes a request.</summary>
    /// <exception cref="ArgumentException">The request is wrong.</exception>
    /// <exception cref="ContextLengthException">The prompt does not fit.</exception>
    /// <exception cref="ChatTemplateException">The template refuses the conversation, or there is none.</exception>
    /// <exception cref="ConstraintException">The output constraint, a tool's schema or a required call cannot be enforced.</exception>
    public EncodedPrompt Encode(GenerationRequest request)
    {
        Check(request);
        var sampling = SamplingSettings.Resolve(request.Sampling, modelSampling);
        var (conversation, rendered) = request.Prompt is null ? EncodeTurns(request, addGenerationPrompt: true) : (null, null);
        var ids = conversation?.Ids ?? EncodeText(request.Prompt!);
        var parser = rendered?.Parser;
        CheckIds(ids);
        var maxTokens = MemoryFit.MaxTokens(caches.PeakBytesFor, memoryBytes, ids.Length, contextTokens - ids.Length, request.MaxTokens);

        return new EncodedPrompt(
            new SequenceRequest
            {
                PromptIds = ids,
                ContinuesText = request.Prompt is not null,
                MaxTokens = maxTokens,
                Priority = request.Priority,
                Sampling = sampling,
                TopLogprobs = request.TopLogprobs,
                StopSequences = request.StopSequences,
                EndIds = endIds,
                Constraint = Constraint(request, rendered),
                VisibleSpecialIds = (parser?.ControlMarkers ?? []).Select(m => tokenizer.TryGetId(m, out var id) ? id : -1).Where(id => id >= 0).ToHashSet(),
            },
            parser, conversation);
    }

    /// <summary>Encodes a conversation up to its last turn, to be computed and not answered.</summary>
    /// <inheritdoc cref="Encode" path="/exception"/>
    public SequenceRequest EncodeConversation(GenerationRequest request)
    {
        Check(request);
        var ids = request.Prompt is null ? EncodeTurns(request, addGenerationPrompt: false).Prompt.Ids : EncodeText(request.Prompt);
        return EncodeTokens(ids) with { Priority = request.Priority };
    }

    /// <summary>Tokens that are to be computed and not answered.</summary>
    /// <exception cref="ContextLengthException">They do not fit.</exception>
    public SequenceRequest EncodeTokens(int[] ids)
    {
        CheckIds(ids);
        _ = MemoryFit.MaxTokens(caches.PeakBytesFor, memoryBytes, ids.Length, contextTokens - ids.Length, wanted: null);
        return new SequenceRequest
        {
            PromptIds = ids,
            ContinuesText = true,
            MaxTokens = 0,
            Sampling = SamplingSettings.Resolve(new SamplingOptions { Temperature = 0 }, modelSampling),
            StopSequences = [],
            EndIds = endIds,
            VisibleSpecialIds = new HashSet<int>(),
        };
    }

    private void CheckIds(int[] ids)
    {
        if (ids.FirstOrDefault(id => id >= vocabularySize, -1) is >= 0 and var unknown)
            throw new LocalLlmException($"The tokenizer gives token {unknown} ('{tokenizer.TokenText(unknown)}'), but the model has embeddings for {vocabularySize} tokens only: "
                + "its tokenizer files belong to another model.");
        if (ids.Length >= contextTokens)
            throw new ContextLengthException(ids.Length, contextTokens);
    }

    private static void Check(GenerationRequest request)
    {
        var errors = new List<string>();
        if (request.Prompt is null && request.Turns.Count == 0)
            errors.Add("it has neither Turns nor a Prompt");
        if (request.Prompt is not null && (request.Turns.Count > 0 || request.Tools.Count > 0))
            errors.Add("it has a Prompt, which goes without Turns and Tools");
        if (request.MaxTokens is < 1)
            errors.Add($"MaxTokens is {request.MaxTokens}, must be 1 or more, or null for as many as the context holds");
        if (request.TopLogprobs is < 0 or > LogprobReader.MaxTop)
            errors.Add($"TopLogprobs is {request.TopLogprobs}, must be 0 to {LogprobReader.MaxTop}, or null for no log probabilities");
        if (request.StopSequences.Any(string.IsNullOrEmpty))
            errors.Add("a stop sequence is empty");
        if (request.Tools.GroupBy(t => t.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
            errors.Add($"{twice.Count()} tools are named '{twice.Key}'");
        if (request.ToolChoice.MustCall && request.Tools.Count == 0)
            errors.Add($"{nameof(GenerationRequest.ToolChoice)} requires a call, but there are no {nameof(GenerationRequest.Tools)}");
        else if (request.ToolChoice.FunctionName is { } name && request.Tools.All(t => t.Name != name))
            errors.Add($"{nameof(GenerationRequest.ToolChoice)} requires a call of '{name}', which is not among the {request.Tools.Count} "
                + $"{nameof(GenerationRequest.Tools)}: {string.Join(", ", request.Tools.Select(t => t.Name))}");
        if (errors.Count > 0)
            throw new ArgumentException($"The request is wrong: {string.Join("; ", errors)}.", nameof(request));
    }

    private int[] EncodeText(string text)
    {
        var ids = tokenizer.Encode([new PromptSegment(text, IsTemplate: false)], addBos: true);
        return ids.Length > 0
            ? ids
            : throw new ArgumentException("Prompt is empty and the model has no beginning-of-text token to start from; give it at least one character.", nameof(text));
    }

    /// <summary>What the answer's tokens may be; null for any.</summary>
    private TokenConstraint? Constraint(GenerationRequest request, RenderedChat? rendered)
    {
        if (rendered is null)
            return request.Constraint is { } constraint ? constraints.StartText(constraint) : null;
        return constraints.Start(new AnswerForm
        {
            Spelling = CallSpellings.Of(chat!.ToolCalls, chat.ToolTemplateSource),
            Tools = request.Tools,
            Choice = request.ToolChoice,
            AllowParallelCalls = request.AllowParallelToolCalls,
            Constraint = request.Constraint,
            Reasoning = rendered.IsInReasoning ? ReasoningState.Open : rendered.MayReason ? ReasoningState.Possible : ReasoningState.None,
            ReasoningOpen = chat.Reasoning.Open,
            ReasoningClose = chat.Reasoning.Close,
        });
    }

    private (KnownPrompt Prompt, RenderedChat Rendered) EncodeTurns(GenerationRequest request, bool addGenerationPrompt)
    {
        if (chat is null)
            throw new ChatTemplateException("The model folder has no chat template, so a conversation cannot be rendered. Add chat_template.jinja to it, or "
                + "\"chat_template\" to tokenizer_config.json, or use a raw Prompt.");
        var turns = written.WithReasoning(request.Turns);
        var rendered = chat.Render(request with { Turns = turns }, time, addGenerationPrompt);
        var prompt = written.Encode(rendered.Segments, turns);
        return prompt.Ids.Length > 0 ? (prompt, rendered) : throw new ChatTemplateException("The chat template rendered an empty prompt for this conversation.");
    }
}
