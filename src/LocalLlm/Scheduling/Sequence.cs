using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using LocalLlm.KvCache;
using LocalLlm.Sampling;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sessions;
using LocalLlm.Tokenization;

namespace LocalLlm.Scheduling;

/// <summary>What one request wants of the engine loop, checked and encoded.</summary>
internal sealed record SequenceRequest
{
    /// <summary>The prompt's tokens, at least one.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>True where the output goes on with the prompt's text; false where it is a text of its own, which does not begin with a space.</summary>
    public required bool ContinuesText { get; init; }

    /// <summary>The most tokens to sample; prompt and output fit the context. With 0 the prompt is computed and its cache retained, and that is all.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>The name under which the prompt's cache is saved, where nothing is sampled; null to save none.</summary>
    public string? SaveName { get; init; }

    /// <summary>Who goes first: higher numbers before lower ones.</summary>
    public int Priority { get; init; }

    /// <summary>How to choose a token.</summary>
    public required SamplingSettings Sampling { get; init; }

    /// <summary>How many alternatives' log probabilities to tell with each token; null for no log probabilities.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary>Texts that end the output.</summary>
    public required IReadOnlyList<string> StopSequences { get; init; }

    /// <summary>Tokens that end the output.</summary>
    public required IReadOnlySet<int> EndIds { get; init; }

    /// <summary>What tokens may come; null for any. Owned by the sequence.</summary>
    public TokenConstraint? Constraint { get; init; }

    /// <summary>Events that may wait for the reader; with so many unread the sequence pauses until one is read.</summary>
    public int MaxUnread { get; init; } = 256;

    /// <summary>Special tokens whose text the reader wants to see; the others are not part of the text.</summary>
    public required IReadOnlySet<int> VisibleSpecialIds { get; init; }
}

/// <summary>What the engine loop tells a reader.</summary>
internal abstract record SequenceEvent;

/// <summary>One sampled token: the text that it completed, which may be empty, and its log probabilities if they were asked for.</summary>
internal sealed record TokenEvent(string Text, SampledLogprobs? Logprobs = null) : SequenceEvent;

/// <summary>The end, with the text held back until then.</summary>
/// <param name="Text">The text.</param>
/// <param name="FinishReason">Why it ended.</param>
/// <param name="Usage">What it used.</param>
/// <param name="SampledIds">All sampled tokens.</param>
internal sealed record EndEvent(string Text, FinishReason FinishReason, GenerationUsage Usage, IReadOnlyList<int> SampledIds) : SequenceEvent;

/// <summary>One request in the engine loop. The loop owns all but the channel and <see cref="Cancel"/>.</summary>
internal sealed class Sequence
{
    private readonly Channel<SequenceEvent> events;
    private readonly StreamingDecoder decoder;
    private readonly StopMatcher stops;
    private readonly Sampler sampler;
    private readonly LogprobReader? logprobs;
    private readonly long arrived = Stopwatch.GetTimestamp();
    private long started;
    private long firstSampled;
    private volatile bool isCancelled;

    public Sequence(SequenceRequest request, TextTokenizer tokenizer)
    {
        Request = request;
        Tokens = [.. request.PromptIds];
        // One place more: the end may follow the last token at once.
        events = Channel.CreateBounded<SequenceEvent>(new BoundedChannelOptions(request.MaxUnread + 1) { SingleReader = true, SingleWriter = true });
        decoder = new StreamingDecoder(tokenizer, atBeginning: !request.ContinuesText, includeSpecial: true);
        stops = new StopMatcher(request.StopSequences);
        sampler = new Sampler(request.Sampling, request.PromptIds);
        logprobs = request.TopLogprobs is { } top ? new LogprobReader(top) : null;
    }

    public SequenceRequest Request { get; }

    /// <summary>The prompt and all sampled tokens.</summary>
    public List<int> Tokens { get; }

    /// <summary>The cache; null until the sequence runs.</summary>
    public IKvCache? Cache { get; set; }

    /// <summary>The retained cache that this sequence continues; replaced by this sequence's own when it ends.</summary>
    public RetainedCache? Source { get; set; }

    /// <summary>The copy of the cache kept at the end of the prompt, if there is one.</summary>
    public RetainedCache? PromptEnd { get; set; }

    /// <summary>The spilled cache that is being read, or was, for this sequence to continue; null if there is none.</summary>
    public SpillReading? Reading { get; set; }

    /// <summary>Where its own cache went when it was preempted; null if it was not, or went nowhere.</summary>
    public SpilledCache? Spilled { get; set; }

    /// <summary>The file to which <see cref="SequenceRequest.SaveName"/> leads, once it has ended.</summary>
    public SpilledCache? Saved { get; set; }

    /// <summary>The tokens of which a cache may hold all: where something is to be sampled, the last is left to compute, for its logits.</summary>
    public ReadOnlySpan<int> Continuable => CollectionsMarshal.AsSpan(Tokens)[..^(Request.MaxTokens == 0 ? 0 : 1)];

    /// <summary>Its number in the order of arrival.</summary>
    public long Arrival { get; set; }

    /// <summary>When it arrived or was preempted, on the clock of the queue.</summary>
    public long WaitingSince { get; set; }

    /// <summary>True once it has run, even if it waits again.</summary>
    public bool HasStarted { get; private set; }

    /// <summary>True once the loop has done with it.</summary>
    public bool HasEnded { get; set; }

    /// <summary>Prompt tokens that a retained cache held.</summary>
    public int CachedPromptTokens { get; private set; }

    /// <summary>True while more is to be computed than the token sampled last: the prompt, or after a preemption what was there before it.</summary>
    public bool IsPrefill => Cache!.Length < Request.PromptIds.Length || Tokens.Count - Cache.Length > 1;

    /// <summary>
    /// Tokens to compute next, of which a step may take a part: up to the prompt's end, of which the cache must be told, and then up to the last.
    /// </summary>
    public int PendingTokens => (Cache!.Length < Request.PromptIds.Length ? Request.PromptIds.Length : Tokens.Count) - Cache.Length;

    /// <summary>True where the next tokens are generated ones, which are computed one by one even when a preemption made it necessary to compute them again.</summary>
    public bool IsGenerated => Cache!.Length >= Request.PromptIds.Length;

    /// <summary>The step in which it was last given tokens.</summary>
    public long LastStep { get; set; }

    /// <summary>True if a step that takes so many tokens reaches the last, so that the next one can be sampled.</summary>
    public bool SamplesAfter(int count) => Cache!.Length + count == Tokens.Count;

    public bool IsCancelled => isCancelled;

    public int SampledTokens => Tokens.Count - Request.PromptIds.Length;

    /// <summary>True while its reader is so far behind that no token may be sampled. By the engine thread: only its own steps make it true.</summary>
    public bool IsPaused => events.Reader.Count >= Request.MaxUnread;

    /// <summary>
    /// True while a sequence that made way had better not start again: its reader is behind by more than half of what may be unread, so that it would soon
    /// pause again.
    /// </summary>
    public bool IsFarAhead => events.Reader.Count > Request.MaxUnread / 2;

    /// <summary>Called from the reader's thread when the sequence need not pause any more.</summary>
    public Action? ReaderCaughtUp { get; set; }

    /// <summary>The events, once, from one thread.</summary>
    /// <exception cref="LocalLlmException">The sequence failed.</exception>
    /// <exception cref="OperationCanceledException">The sequence or its reader was cancelled; then events may be unread.</exception>
    public async IAsyncEnumerable<SequenceEvent> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var item in events.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            cancellationToken.ThrowIfCancellationRequested();
            // Only a read that leaves one place free can end a pause: if the loop has filled that place meanwhile, it has seen it. And one that waits is written
            // to by nobody, so that its reader comes by the half.
            if (events.Reader.Count is var unread && (unread == Request.MaxUnread - 1 || unread == Request.MaxUnread / 2))
                ReaderCaughtUp?.Invoke();
            yield return item;
        }
    }

    /// <summary>Asks the loop to drop this sequence; from any thread.</summary>
    public void Cancel() => isCancelled = true;

    /// <summary>Tells that it has a cache now, and how many tokens that holds already.</summary>
    public void Start(int cachedTokens)
    {
        if (HasStarted)
            return;
        (HasStarted, CachedPromptTokens, started) = (true, cachedTokens, Stopwatch.GetTimestamp());
    }

    /// <summary>Samples the next token, publishes it and decides whether the sequence has ended.</summary>
    /// <param name="logits">[vocabulary] of the last token, changed in place.</param>
    /// <param name="tokenizer">For which tokens are special.</param>
    /// <returns>Why it ended; null to go on.</returns>
    public FinishReason? SampleNext(Span<float> logits, TextTokenizer tokenizer)
    {
        logprobs?.Observe(logits);
        // Before the penalties, which leave negative infinity as it is.
        Request.Constraint?.Mask(logits);
        var id = sampler.Sample(logits);
        Request.Constraint?.Accept(id);
        Tokens.Add(id);
        if (SampledTokens == 1)
            firstSampled = Stopwatch.GetTimestamp();
        if (Request.EndIds.Contains(id))
            return FinishReason.Stop;

        var text = tokenizer.IsSpecial(id) && !Request.VisibleSpecialIds.Contains(id) ? "" : decoder.Add(id);
        Publish(new TokenEvent(stops.Add(text), logprobs?.Of(id)));
        if (stops.IsStopped)
            return FinishReason.Stop;
        return SampledTokens >= Request.MaxTokens ? FinishReason.Length : null;
    }

    /// <summary>Publishes the end.</summary>
    /// <param name="reason">Why it ended.</param>
    /// <param name="kvBytes">Bytes of its cache.</param>
    /// <param name="kvBytesFp16">Bytes of an uncompressed fp16 cache of the same length.</param>
    public void Complete(FinishReason reason, long kvBytes, long kvBytesFp16)
    {
        var rest = stops.IsStopped ? "" : stops.Add(decoder.Flush()) + stops.Flush();
        Publish(new EndEvent(rest, reason, new GenerationUsage
        {
            PromptTokens = Request.PromptIds.Length,
            CachedPromptTokens = CachedPromptTokens,
            CompletionTokens = SampledTokens,
            KvBytes = kvBytes,
            KvBytesFp16 = kvBytesFp16,
            QueueTime = Stopwatch.GetElapsedTime(arrived, started),
            TimeToFirstToken = Stopwatch.GetElapsedTime(arrived, firstSampled),
            DecodeTime = Stopwatch.GetElapsedTime(firstSampled),
        }, Tokens[Request.PromptIds.Length..]));
        events.Writer.TryComplete();
    }

    /// <summary>Publishes a failure.</summary>
    public void Fault(Exception error) => events.Writer.TryComplete(error);

    private void Publish(SequenceEvent item)
    {
        if (!events.Writer.TryWrite(item))
            throw new InvalidOperationException("A token was sampled for a reader who is too far behind.");
    }
}
