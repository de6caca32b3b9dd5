using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>
/// All ways to read the text so far. Equal states of a matcher are one object, so that transitions and masks are worked out once. What it stands
/// for is immutable; the rest is a cache that the compiled grammar guards.
/// </summary>
internal sealed class MatcherState(Configuration[] configurations, bool mayEnd, int generation)
{
    /// <summary>In order and without repetition.</summary>
    public Configuration[] Configurations => configurations;

    /// <summary>Whether the text so far is a whole text of the grammar.</summary>
    public bool MayEnd => mayEnd;

    /// <summary>The generation of the matcher's caches that this state belongs to.</summary>
    public int Generation => generation;

    /// <summary>Within a single terminal, which cannot end here: a walk goes on in that terminal alone.</summary>
    public bool IsWithinTerminal { get; } = !mayEnd && configurations is [var only] && !only.Machine.IsAccepting(only.State);

    /// <summary>Whether a token may lead on by its id, not by its text alone.</summary>
    public bool TakesControlTokens { get; } = Array.Exists(configurations, c => c.Machine is TokenMachine or FreeTextMachine);

    /// <summary>Transitions by byte, as far as they are known.</summary>
    public MatcherState?[]? Next { get; set; }

    /// <summary>The tokens that can come next, once asked for.</summary>
    public TokenMask? Mask { get; set; }

    /// <summary>States by what they stand for.</summary>
    public sealed class Comparer : IEqualityComparer<MatcherState>
    {
        public bool Equals(MatcherState? x, MatcherState? y) =>
            x!.MayEnd == y!.MayEnd && x.Configurations.AsSpan().SequenceEqual(y.Configurations);

        public int GetHashCode(MatcherState state)
        {
            var hash = new HashCode();
            hash.Add(state.MayEnd);
            foreach (var (machine, number, frame) in state.Configurations)
            {
                hash.Add(machine.Id);
                hash.Add(number);
                hash.Add(frame?.Id ?? -1);
            }

            return hash.ToHashCode();
        }
    }
}
