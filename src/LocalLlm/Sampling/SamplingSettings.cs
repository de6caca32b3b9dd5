namespace LocalLlm.Sampling;

/// <summary>Sampling settings with every value known: the request's, else the model's, else neutral.</summary>
internal sealed record SamplingSettings
{
    /// <summary>0 is greedy.</summary>
    public required float Temperature { get; init; }

    /// <summary>0 keeps all tokens.</summary>
    public required int TopK { get; init; }

    /// <summary>1 keeps all tokens.</summary>
    public required float TopP { get; init; }

    /// <summary>0 keeps all tokens.</summary>
    public required float MinP { get; init; }

    /// <summary>1 is off.</summary>
    public required float RepetitionPenalty { get; init; }

    /// <summary>0 is off.</summary>
    public required float FrequencyPenalty { get; init; }

    /// <summary>0 is off.</summary>
    public required float PresencePenalty { get; init; }

    /// <summary>Start of the random sequence.</summary>
    public required long Seed { get; init; }

    /// <summary>Takes each value from the request, else from the model's defaults, else the neutral one.</summary>
    /// <exception cref="ArgumentException">Values out of range, all named at once.</exception>
    public static SamplingSettings Resolve(SamplingOptions? request, SamplingOptions modelDefaults)
    {
        var settings = new SamplingSettings
        {
            Temperature = request?.Temperature ?? modelDefaults.Temperature ?? 0,
            TopK = request?.TopK ?? modelDefaults.TopK ?? 0,
            TopP = request?.TopP ?? modelDefaults.TopP ?? 1,
            MinP = request?.MinP ?? modelDefaults.MinP ?? 0,
            RepetitionPenalty = request?.RepetitionPenalty ?? modelDefaults.RepetitionPenalty ?? 1,
            FrequencyPenalty = request?.FrequencyPenalty ?? modelDefaults.FrequencyPenalty ?? 0,
            PresencePenalty = request?.PresencePenalty ?? modelDefaults.PresencePenalty ?? 0,
            Seed = request?.Seed ?? Random.Shared.NextInt64(),
        };
        var errors = new List<string>();
        Check(settings.Temperature is >= 0 and <= 100, nameof(Temperature), settings.Temperature, "0 (greedy) to 100");
        Check(settings.TopK >= 0, nameof(TopK), settings.TopK, "0 (all) or more");
        Check(settings.TopP is > 0 and <= 1, nameof(TopP), settings.TopP, "above 0 and at most 1 (all)");
        Check(settings.MinP is >= 0 and <= 1, nameof(MinP), settings.MinP, "0 (all) to 1");
        Check(settings.RepetitionPenalty is > 0 and <= 100, nameof(RepetitionPenalty), settings.RepetitionPenalty, "above 0, at most 100; 1 is off");
        Check(settings.FrequencyPenalty is >= -2 and <= 2, nameof(FrequencyPenalty), settings.FrequencyPenalty, "-2 to 2; 0 is off");
        Check(settings.PresencePenalty is >= -2 and <= 2, nameof(PresencePenalty), settings.PresencePenalty, "-2 to 2; 0 is off");
        return errors.Count == 0 ? settings : throw new ArgumentException("Sampling: " + string.Join("; ", errors) + ".", nameof(request));

        void Check(bool ok, string name, double value, string range)
        {
            if (!ok)
                errors.Add($"{name} is {value}, must be {range}");
        }
    }
}
