namespace DemoModel.Training;

/// <summary>Sequence length and learning rate over the share of the training time that has passed.</summary>
internal static class Curriculum
{
    /// <summary>Length of the sequences of a step, and tokens of the step.</summary>
    public static (int Length, int Tokens) At(double part, int step) => part switch
    {
        < 0.30 => (256, 4096),
        < 0.55 => step % 2 == 0 ? (256, 4096) : (512, 6144),
        < 0.72 => step % 2 == 0 ? (512, 6144) : (1024, 8192),
        < 0.84 => step % 2 == 0 ? (1024, 8192) : (2048, 8192),
        _ => (step % 3) switch { 0 => (1024, 8192), 1 => (2048, 8192), _ => (4096, 8192) },
    };

    /// <summary>The same for the last minutes, through a 2-bit cache: only long sequences have tokens in pages.</summary>
    public static (int Length, int Tokens) Quantized(int step) => step % 2 == 0 ? (1024, 4096) : (2048, 4096);

    /// <summary>What the learning rates are multiplied by: warm-up, plateau, then a linear decay that ends with the time.</summary>
    public static double Rate(double part, int step) => Math.Min((step + 1) / 50.0, Math.Clamp(1.02 - Math.Max(0, part - 0.40) / 0.60, 0.02, 1));
}
