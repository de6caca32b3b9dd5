using DemoModel.Tokenizer;

namespace DemoModel.Training;

/// <summary>The shape of the demo model: Qwen3's architecture, small.</summary>
public sealed record NetworkConfig
{
    /// <summary>Ids of the tokenizer.</summary>
    public int VocabularySize { get; init; } = DialogueTokenizer.VocabularySize;

    /// <summary>Width of the residual stream.</summary>
    public int HiddenSize { get; init; } = 256;

    /// <summary>Decoder layers.</summary>
    public int Layers { get; init; } = 4;

    /// <summary>Query heads.</summary>
    public int QueryHeads { get; init; } = 4;

    /// <summary>Key and value heads; each serves a group of query heads.</summary>
    public int KvHeads { get; init; } = 2;

    /// <summary>Elements of a head.</summary>
    public int HeadDim { get; init; } = 64;

    /// <summary>Width of the MLP.</summary>
    public int IntermediateSize { get; init; } = 512;

    /// <summary>Base of the rotary frequencies.</summary>
    public double RopeTheta { get; init; } = 1_000_000_000;

    /// <summary>Epsilon of every RMS norm.</summary>
    public double NormEpsilon { get; init; } = 1e-6;

    /// <summary>The longest sequence trained.</summary>
    public int TrainedTokens { get; init; } = 4096;

    /// <summary>The longest context scored and offered.</summary>
    public int ContextTokens { get; init; } = 8192;
}
