namespace LocalLlm.Sampling.Constraints;

/// <summary>One way to understand the output so far: in a state of a terminal, with what follows it. No terminal: the output may end.</summary>
internal readonly record struct Configuration(Terminal? Terminal, int State, Frame Next);

/// <summary>All ways to understand the output so far; closed: where a terminal may end, what follows it is among them.</summary>
internal sealed class GrammarState(Configuration[] configurations)
{
    private static readonly GrammarState Dead = new([]);

    private GrammarState?[]? next; // by byte

    public ReadOnlySpan<Configuration> Configurations => configurations;

    /// <summary>Whether the output may end here.</summary>
    public bool MayEnd { get; } = Array.Exists(configurations, c => c.Terminal is null);

    /// <summary>Whether a byte may come.</summary>
    public bool TakesBytes { get; } = Array.Exists(configurations, c => c.Terminal?.Machine is not null);

    /// <summary>The state after a byte; null if it cannot come.</summary>
    public GrammarState? Step(byte value, GrammarRun run)
    {
        next ??= new GrammarState?[256];
        var state = next[value] ??= run.Step(this, value) ?? Dead;
        return state == Dead ? null : state;
    }
}
