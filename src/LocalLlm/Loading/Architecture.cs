namespace LocalLlm.Loading;

/// <summary>When a projection has a bias.</summary>
internal enum BiasRule
{
    /// <summary>It has none.</summary>
    Never,

    /// <summary>It always has one.</summary>
    Always,

    /// <summary>The field <c>attention_bias</c> tells.</summary>
    AsConfigured,
}

/// <summary>When a layer attends through a sliding window.</summary>
internal enum SlidingWindowRule
{
    /// <summary>Never; the field <c>sliding_window</c> is not part of the architecture.</summary>
    Never,

    /// <summary>Every layer, if <c>sliding_window</c> is set.</summary>
    AllLayers,

    /// <summary>If <c>use_sliding_window</c> is true, the layers named by <c>layer_types</c>, else those from <c>max_window_layers</c> on.</summary>
    UpperLayers,
}

/// <summary>What an architecture fixes, and what its config.json leaves unsaid: the defaults of the Hugging Face configuration class.</summary>
/// <param name="Name">The value of <c>architectures[0]</c>.</param>
/// <param name="ModelType">The value of <c>model_type</c>.</param>
internal sealed record Architecture(string Name, string ModelType)
{
    /// <summary>False for a network without an output projection ("Qwen3Model"): it has hidden states and no logits.</summary>
    public bool HasHead { get; init; } = true;

    /// <summary>Biases of the query, key and value projections.</summary>
    public BiasRule QkvBias { get; init; }

    /// <summary>Bias of the attention's output projection.</summary>
    public BiasRule OutputBias { get; init; }

    /// <summary>True if <c>mlp_bias</c> is part of the architecture.</summary>
    public bool HasMlpBias { get; init; }

    /// <summary>True if queries and keys pass an RMSNorm per head before rotary embedding.</summary>
    public bool QkNorm { get; init; }

    /// <summary>True if the checkpoint stores query, key and value as one matrix, and gate and up as another.</summary>
    public bool IsFused { get; init; }

    /// <summary>True if <c>partial_rotary_factor</c> is part of the architecture.</summary>
    public bool HasPartialRotary { get; init; }

    /// <summary>Which layers use the sliding window.</summary>
    public SlidingWindowRule SlidingWindowRule { get; init; }

    /// <summary>The sliding window where config.json names none at all; a null in the file means no window.</summary>
    public int? DefaultSlidingWindow { get; init; }

    /// <summary>KV heads where config.json names none; null for as many as query heads.</summary>
    public int? DefaultKvHeads { get; init; }

    /// <summary>head_dim where config.json names none; null for hidden size / query heads.</summary>
    public int? DefaultHeadDim { get; init; }

    /// <summary>The norms' epsilon where config.json names none.</summary>
    public double DefaultNormEpsilon { get; init; } = 1e-6;

    /// <summary>Whether the output projection is the embedding, where config.json does not tell.</summary>
    public bool DefaultTieWordEmbeddings { get; init; }

    /// <summary>The beginning-of-text token where config.json names none.</summary>
    public int? DefaultBosTokenId { get; init; }

    /// <summary>The end-of-text token where config.json names none.</summary>
    public int? DefaultEosTokenId { get; init; }

    /// <summary>All supported architectures.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new("LlamaForCausalLM", "llama")
        {
            QkvBias = BiasRule.AsConfigured, OutputBias = BiasRule.AsConfigured, HasMlpBias = true,
            DefaultBosTokenId = 1, DefaultEosTokenId = 2,
        },
        new("MistralForCausalLM", "mistral")
        {
            SlidingWindowRule = SlidingWindowRule.AllLayers, DefaultSlidingWindow = 4096, DefaultKvHeads = 8,
            DefaultBosTokenId = 1, DefaultEosTokenId = 2,
        },
        new("Qwen2ForCausalLM", "qwen2")
        {
            QkvBias = BiasRule.Always, SlidingWindowRule = SlidingWindowRule.UpperLayers, DefaultSlidingWindow = 4096, DefaultKvHeads = 32,
        },
        new("Qwen3ForCausalLM", "qwen3")
        {
            QkvBias = BiasRule.AsConfigured, OutputBias = BiasRule.AsConfigured, QkNorm = true, DefaultHeadDim = 128,
            SlidingWindowRule = SlidingWindowRule.UpperLayers, DefaultSlidingWindow = 4096, DefaultKvHeads = 32,
        },
        new("Phi3ForCausalLM", "phi3")
        {
            IsFused = true, HasPartialRotary = true, SlidingWindowRule = SlidingWindowRule.AllLayers, DefaultNormEpsilon = 1e-5,
            DefaultBosTokenId = 1, DefaultEosTokenId = 32000,
        },
    ];

    /// <summary>The architecture of that name, or of the network inside one ("Qwen3Model" for "Qwen3ForCausalLM"); null if there is none.</summary>
    public static Architecture? Find(string name) => All.FirstOrDefault(a => a.Name == name)
        ?? (All.FirstOrDefault(a => a.Name.Replace("ForCausalLM", "Model", StringComparison.Ordinal) == name) is { } whole
            ? whole with { Name = name, HasHead = false }
            : null);

    /// <summary>The names of all, for messages.</summary>
    public static string SupportedNames => string.Join(", ", All.Select(a => a.Name));
}
