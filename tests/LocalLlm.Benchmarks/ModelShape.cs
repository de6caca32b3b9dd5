namespace LocalLlm.Benchmarks;

/// <summary>The sizes of a model.</summary>
/// <param name="Name">The model that has them.</param>
/// <param name="Layers">Its layers; a run may take fewer.</param>
/// <param name="Hidden">Of the hidden state.</param>
/// <param name="Intermediate">Of the feed-forward part.</param>
/// <param name="QueryHeads">Query heads.</param>
/// <param name="KvHeads">KV heads.</param>
/// <param name="HeadDim">Channels of a head.</param>
/// <param name="IsTied">Whether the embedding is the output projection as well.</param>
internal sealed record ModelShape(string Name, int Layers, int Hidden, int Intermediate, int QueryHeads, int KvHeads, int HeadDim, bool IsTied)
{
    public static ModelShape Llama1B { get; } = new("Llama-3.2-1B", 16, 2048, 8192, 32, 8, 64, IsTied: true);

    public static ModelShape Llama8B { get; } = new("Llama-3.1-8B", 32, 4096, 14336, 32, 8, 128, IsTied: false);

    /// <summary>The shape that an option names.</summary>
    public static ModelShape Parse(string? name) => name switch
    {
        null or "1b" => Llama1B,
        "8b" => Llama8B,
        _ => throw new ArgumentException($"--shape is 1b or 8b, got '{name}'."),
    };
}
