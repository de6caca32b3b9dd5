namespace LocalLlm.Loading;

/// <summary>A model's generation_config.json: how its publisher wants it sampled, and which tokens end a turn.</summary>
internal sealed record GenerationConfig
{
    /// <summary>Tokens that end a generation; null if the file does not tell, so config.json's count.</summary>
    public IReadOnlyList<int>? EosTokenIds { get; init; }

    /// <summary>The beginning-of-text token, if the file tells.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>True to sample; false for greedy decoding, as where the file says nothing.</summary>
    public bool DoSample { get; init; }

    /// <summary>Divides the logits.</summary>
    public float? Temperature { get; init; }

    /// <summary>Keeps the k most probable tokens; 0 keeps all.</summary>
    public int? TopK { get; init; }

    /// <summary>Keeps the most probable tokens up to this sum.</summary>
    public float? TopP { get; init; }

    /// <summary>Keeps tokens at least this probable relative to the most probable one.</summary>
    public float? MinP { get; init; }

    /// <summary>Penalty of tokens seen; 1 is off.</summary>
    public float? RepetitionPenalty { get; init; }

    /// <summary>The same as sampling settings: temperature 0 if the file does not ask for sampling, as in Hugging Face's generate.</summary>
    public SamplingOptions Sampling => DoSample
        ? new SamplingOptions { Temperature = Temperature, TopK = TopK, TopP = TopP, MinP = MinP, RepetitionPenalty = RepetitionPenalty }
        : new SamplingOptions { Temperature = 0, RepetitionPenalty = RepetitionPenalty };

    /// <summary>Reads and checks a generation_config.json.</summary>
    public static GenerationConfig Read(string path, LoadErrors errors)
    {
        if (JsonFields.Read(path, errors) is not { } fields)
            return new GenerationConfig();
        return new GenerationConfig
        {
            EosTokenIds = fields.Ints("eos_token_id", 0, int.MaxValue),
            BosTokenId = fields.Int("bos_token_id", 0, int.MaxValue),
            DoSample = fields.Bool("do_sample") ?? false,
            Temperature = (float?)fields.Number("temperature", x => x is >= 0 and <= 100, "a number of 0 to 100"),
            TopK = fields.Int("top_k", 0, int.MaxValue),
            TopP = (float?)fields.Number("top_p", x => x is > 0 and <= 1, "a number greater than 0 and at most 1"),
            MinP = (float?)fields.Number("min_p", x => x is >= 0 and <= 1, "a number of 0 to 1"),
            RepetitionPenalty = (float?)fields.PositiveNumber("repetition_penalty"),
        };
    }
}
