using LocalLlm.Sampling.Constraints.Machines;
using LocalLlm.Sampling.Constraints.Matching;

namespace LocalLlm.Sampling.Constraints;

/// <summary>
/// A grammar over a vocabulary, with what has been worked out of it so far: states, transitions and masks are made when a generation first comes to
/// them and serve all later ones. Safe for concurrent use: one thread at a time works in it.
/// </summary>
internal sealed class CompiledGrammar
{
    /// <summary>What a grammar keeps for speed before it is all forgotten and made anew: some 800 masks of a vocabulary of 150,000.</summary>
    private const long CacheBytes = 16 << 20;

    private readonly Lock gate = new();
    private readonly ConstraintVocabulary vocabulary;
    private readonly CacheMeter meter = new();
    private readonly GrammarMatcher matcher;
    private readonly MaskBuilder masks;
    private readonly Dictionary<TextBeginning, TokenMask> startMasks = [];

    private CompiledGrammar(GrammarNode root, ConstraintVocabulary vocabulary)
    {
        this.vocabulary = vocabulary;
        matcher = new GrammarMatcher(root, vocabulary, meter);
        masks = new MaskBuilder(matcher, vocabulary);
    }

    /// <summary>The tokens.</summary>
    public ConstraintVocabulary Vocabulary => vocabulary;

    /// <summary>Bytes kept for speed.</summary>
    public long CachedBytes
    {
        get
        {
            lock (gate)
                return meter.Bytes;
        }
    }

    /// <summary>Compiles a grammar; little is done before a generation asks for it.</summary>
    /// <exception cref="ArgumentException">The grammar recurs at its left end, repeats nothing, or contradicts itself.</exception>
    public static CompiledGrammar Create(GrammarNode root, ConstraintVocabulary vocabulary) => new(root, vocabulary);

    /// <summary>A constraint at the beginning of an output.</summary>
    /// <param name="continuesText">
    /// True where the output goes on with a text; false where it is a text of its own, whose first space some tokenizers take off.
    /// </param>
    public TokenConstraint Start(bool continuesText = false)
    {
        lock (gate)
            return new GrammarConstraint(this, matcher.Start, continuesText ? default : vocabulary.Beginning);
    }

    /// <summary>The tokens that can come next.</summary>
    /// <param name="state">The state; afterwards its successor where the caches have been dropped.</param>
    /// <param name="beginning">What decoding may still take off.</param>
    public TokenMask Mask(ref MatcherState state, TextBeginning beginning)
    {
        lock (gate)
        {
            state = Current(state);
            if (beginning != default)
                return BeginningMask(state, beginning);
            if (state.Mask is null)
            {
                state.Mask = masks.Build(state, vocabulary.Tries);
                meter.Add(state.Mask.Bytes);
            }

            return state.Mask;
        }
    }

    /// <summary>The state after a token; null if it cannot come next.</summary>
    public MatcherState? Step(MatcherState state, int id, ReadOnlySpan<byte> text)
    {
        lock (gate)
            return matcher.StepToken(Current(state), id, text);
    }

    private MatcherState Current(MatcherState state)
    {
        if (meter.Bytes > CacheBytes)
        {
            matcher.Drop();
            startMasks.Clear();
        }

        return matcher.Refresh(state);
    }

    private TokenMask BeginningMask(MatcherState state, TextBeginning beginning)
    {
        if (state != matcher.Start)
            return masks.Build(state, vocabulary.TriesAt(beginning));
        if (!startMasks.TryGetValue(beginning, out var mask))
        {
            startMasks.Add(beginning, mask = masks.Build(state, vocabulary.TriesAt(beginning)));
            meter.Add(mask.Bytes);
        }

        return mask;
    }
}
