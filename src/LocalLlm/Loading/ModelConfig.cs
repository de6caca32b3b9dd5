namespace LocalLlm.Loading;

/// <summary>The facts of a model's config.json that its network needs, checked and with its architecture's defaults filled in.</summary>
internal sealed record ModelConfig
{
    /// <summary>The smallest head_dim that is supported.</summary>
    public const int MinHeadDim = 8;

    /// <summary>The largest head_dim that is supported.</summary>
    public const int MaxHeadDim = 256;

    /// <summary>The architecture.</summary>
    public required Architecture Architecture { get; init; }

    /// <summary>Channels of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Channels inside the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int QueryHeads { get; init; }

    /// <summary>KV heads; divides the query heads.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Channels of a head: a multiple of 8 from 8 to 256.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int VocabSize { get; init; }

    /// <summary>The longest context the model was made for, in tokens.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Added to the mean square inside every RMSNorm.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Rotary position embedding.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary>True if the output projection is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>True if the query, key and value projections have biases.</summary>
    public bool QkvBias { get; init; }

    /// <summary>True if the attention's output projection has a bias.</summary>
    public bool OutputBias { get; init; }

    /// <summary>True if the MLP's projections have biases.</summary>
    public bool MlpBias { get; init; }

    /// <summary>For each layer, the number of last positions that it attends to, its own included; null for all.</summary>
    public required IReadOnlyList<int?> SlidingWindows { get; init; }

    /// <summary>The beginning-of-text token.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>The type the file says the weights have ("bfloat16"); what counts is what the weights are stored in.</summary>
    public string? DeclaredType { get; init; }

    /// <summary>Reads and checks a config.json.</summary>
    /// <returns>The configuration; null if <paramref name="errors"/> got entries.</returns>
    public static ModelConfig? Read(string path, LoadErrors errors)
    {
        // Its own list, so that null is told from errors of other files.
        var own = new LoadErrors();
        var config = JsonFields.Read(path, own) is { } fields && FindArchitecture(fields) is { } architecture ? Read(fields, architecture) : null;
        errors.Add(own);
        return own.Any ? null : config;
    }

    private static Architecture? FindArchitecture(JsonFields fields)
    {
        if (fields.Texts("architectures") is [var name, ..])
        {
            if (Architecture.Find(name) is { } found)
                return found;
            fields.Fail("architectures[0]", $"is {LoadErrors.Quote(name)}; supported are {Architecture.SupportedNames}.");
            return null;
        }

        if (fields.Text("model_type") is { } type && Architecture.All.FirstOrDefault(a => a.ModelType == type) is { } byType)
            return byType;
        fields.Fail("architectures", $"is missing or empty; it must name one of {Architecture.SupportedNames}.");
        return null;
    }

    private static ModelConfig Read(JsonFields fields, Architecture architecture)
    {
        const int maxSize = 1 << 20;
        var hiddenSize = fields.RequiredInt("hidden_size", 1, maxSize);
        var layers = fields.RequiredInt("num_hidden_layers", 1, 4096) ?? 1;
        var queryHeads = fields.RequiredInt("num_attention_heads", 1, 4096);
        var kvHeads = fields.Int("num_key_value_heads", 1, 4096) ?? DefaultKvHeads(fields, architecture, queryHeads ?? 1);
        var maxPositions = fields.RequiredInt("max_position_embeddings", 1, int.MaxValue) ?? 1;
        if (queryHeads % kvHeads is > 0)
            fields.Fail("num_key_value_heads", $"is {kvHeads}; it must divide num_attention_heads, {queryHeads}.");
        var headDim = ReadHeadDim(fields, architecture, hiddenSize, queryHeads);
        CheckUnsupported(fields);

        var attentionBias = fields.Bool("attention_bias") ?? false;
        return new ModelConfig
        {
            Architecture = architecture,
            HiddenSize = hiddenSize ?? 1,
            IntermediateSize = fields.RequiredInt("intermediate_size", 1, maxSize) ?? 1,
            Layers = layers,
            QueryHeads = queryHeads ?? 1,
            KvHeads = kvHeads,
            HeadDim = headDim,
            VocabSize = fields.RequiredInt("vocab_size", 1, 1 << 24) ?? 1,
            MaxPositions = maxPositions,
            NormEpsilon = fields.Number("rms_norm_eps", x => x is >= 0 and < 1, "a number of 0 to 1") ?? architecture.DefaultNormEpsilon,
            Rope = RopeConfig.Read(fields, architecture, headDim, maxPositions),
            TieWordEmbeddings = fields.Bool("tie_word_embeddings") ?? architecture.DefaultTieWordEmbeddings,
            QkvBias = HasBias(architecture.QkvBias, attentionBias),
            OutputBias = HasBias(architecture.OutputBias, attentionBias),
            MlpBias = architecture.HasMlpBias && (fields.Bool("mlp_bias") ?? false),
            SlidingWindows = ReadSlidingWindows(fields, architecture, layers),
            BosTokenId = fields.Int("bos_token_id", 0, int.MaxValue) ?? architecture.DefaultBosTokenId,
            EosTokenIds = fields.Ints("eos_token_id", 0, int.MaxValue) ?? (architecture.DefaultEosTokenId is { } id ? [id] : []),
            DeclaredType = fields.Text("dtype") ?? fields.Text("torch_dtype"),
        };
    }

    private static bool HasBias(BiasRule rule, bool configured) => rule == BiasRule.Always || (rule == BiasRule.AsConfigured && configured);

    // The default stands for an absent field; an explicit null means multi-head attention.
    private static int DefaultKvHeads(JsonFields fields, Architecture architecture, int queryHeads) =>
        fields.IsNull("num_key_value_heads") ? queryHeads : architecture.DefaultKvHeads ?? queryHeads;

    private static int ReadHeadDim(JsonFields fields, Architecture architecture, int? hiddenSize, int? queryHeads)
    {
        var given = fields.Int("head_dim", MinHeadDim, MaxHeadDim);
        if (given is null && fields.Has("head_dim"))
            return MinHeadDim;
        if (given is null && architecture.DefaultHeadDim is null && hiddenSize % queryHeads is > 0)
        {
            fields.Fail("hidden_size", $"is {hiddenSize}; without head_dim it must be a multiple of num_attention_heads, {queryHeads}.");
            return MinHeadDim;
        }

        // Null where one of the two is wrong itself, which has been told.
        var headDim = given ?? architecture.DefaultHeadDim ?? hiddenSize / queryHeads ?? MinHeadDim;
        if (headDim is < MinHeadDim or > MaxHeadDim || headDim % 8 != 0)
            fields.Fail("head_dim", $"is {headDim}; it must be a multiple of 8 from {MinHeadDim} to {MaxHeadDim}.");
        return Math.Clamp(headDim, MinHeadDim, MaxHeadDim);
    }

    private static void CheckUnsupported(JsonFields fields)
    {
        // "swish" is an old name of the same function.
        if (fields.Text("hidden_act") is { } activation and not ("silu" or "swish"))
            fields.Fail("hidden_act", $"is {LoadErrors.Quote(activation)}; only silu is supported.");
        if (fields.Has("quantization_config"))
            fields.Fail("quantization_config", "is there; quantised weights are not supported: use the model's bf16, f16 or f32 checkpoint.");
        if (fields.Bool("use_mrope") is true)
            fields.Fail("use_mrope", "is true; multi-modal rotary embedding is not supported.");
    }

    private static int?[] ReadSlidingWindows(JsonFields fields, Architecture architecture, int layers)
    {
        var windows = new int?[layers];
        var window = fields.Int("sliding_window", 1, int.MaxValue);
        if (!fields.Has("sliding_window") && !fields.IsNull("sliding_window"))
            window = architecture.DefaultSlidingWindow;
        var isUsed = architecture.SlidingWindowRule switch
        {
            SlidingWindowRule.Never => false,
            SlidingWindowRule.AllLayers => window is not null,
            _ => window is not null && (fields.Bool("use_sliding_window") ?? false),
        };

        var types = fields.Texts("layer_types");
        if (types is not null)
        {
            if (types.Count != layers)
                fields.Fail("layer_types", $"has {types.Count} entries; it must have num_hidden_layers, {layers}.");
            foreach (var type in types.Where(t => t is not ("full_attention" or "sliding_attention")).Distinct())
                fields.Fail("layer_types", $"has {LoadErrors.Quote(type)}; supported are full_attention and sliding_attention.");
            if (types.Contains("sliding_attention") && (!isUsed || (architecture.SlidingWindowRule == SlidingWindowRule.AllLayers && types.Contains("full_attention"))))
                fields.Fail("layer_types", $"has sliding_attention, which does not agree with sliding_window and use_sliding_window for {architecture.Name}.");
        }

        var firstLayer = fields.Int("max_window_layers", 0, int.MaxValue) ?? 28;
        for (var layer = 0; layer < layers; layer++)
        {
            var slides = architecture.SlidingWindowRule == SlidingWindowRule.AllLayers
                || (types is null ? layer >= firstLayer : layer < types.Count && types[layer] == "sliding_attention");
            windows[layer] = isUsed && slides ? window : null;
        }

        return windows;
    }
}
