namespace DemoModel.Training;

/// <summary>A part of the training: up to which share of its tokens it lasts, and the lengths of the sequences, one step each in turn.</summary>
internal sealed record Stage(double Until, params int[] Lengths);

/// <summary>Sequence length and learning rate over the share of the training's tokens that has passed.</summary>
internal static class Curriculum
{
    /// <summary>The stages of a training.</summary>
    public static IReadOnlyList<Stage> Stages { get; } =
    [
        new(0.25, 256), new(0.45, 256, 512), new(0.65, 512, 1024), new(0.80, 1024, 2048), new(1, 1024, 2048, 4096),
    ];

    /// <summary>For the last tokens, through a 2-bit cache: only long sequences have tokens in pages.</summary>
    public static Stage Quantized { get; } = new(1, 1024, 2048);

    /// <summary>Index of the stage at a share of the tokens.</summary>
    public static int StageAt(double part) => Enumerable.Range(0, Stages.Count).First(i => part < Stages[i].Until || i == Stages.Count - 1);

    /// <summary>Tokens of a step of sequences of a length: fewer while little is known.</summary>
    public static int StepTokens(int length) => length <= 256 ? 4096 : length <= 512 ? 6144 : 8192;

    /// <summary>What the learning rates are multiplied by: warm-up, plateau, then a linear decay that ends with the tokens.</summary>
    public static double Rate(double part, int step) => Math.Min((step + 1) / 50.0, Math.Clamp(1.02 - Math.Max(0, part - 0.40) / 0.60, 0.02, 1));
}
