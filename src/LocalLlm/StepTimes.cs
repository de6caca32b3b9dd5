namespace LocalLlm;

/// <summary>
/// Where the time of an engine's steps went, since it was loaded. On a GPU the model's part is what the CPU waited for, and
/// attention's what asking for it took.
/// </summary>
public sealed record StepTimes
{
    /// <summary>Deciding what a step runs, taking memory for it and packing it.</summary>
    public TimeSpan Planning { get; init; }

    /// <summary>Attention over the caches and appending to them.</summary>
    public TimeSpan Attention { get; init; }

    /// <summary>The rest of the model: linear layers, norms, rotations, and bringing the logits to the CPU.</summary>
    public TimeSpan Model { get; init; }

    /// <summary>Making the step's tokens part of the caches.</summary>
    public TimeSpan Committing { get; init; }

    /// <summary>Choosing tokens, under a constraint or without, and handing them out; also retaining the cache of what ends.</summary>
    public TimeSpan Sampling { get; init; }

    /// <summary>All of it.</summary>
    public TimeSpan Total => Planning + Attention + Model + Committing + Sampling;
}
