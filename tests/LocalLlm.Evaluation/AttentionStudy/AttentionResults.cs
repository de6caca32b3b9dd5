namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>
/// Where a model looks in one text. Distances are in octaves: octave 0 is the token itself, octave o ≥ 1 the distances 2^(o−1) … 2^o − 1.
/// </summary>
/// <param name="Tokens">Tokens of the text; only queries of its second half count, so that all could look as far.</param>
/// <param name="Octaves">By octave, as far as all of these queries can look at the whole octave.</param>
/// <param name="LayerSpikes">By layer and octave: <see cref="OctaveResult.Spikes"/>.</param>
/// <param name="Heads">By layer and head.</param>
/// <param name="Coverages">By selection and length.</param>
/// <param name="Kurtoses">By layer.</param>
internal sealed record AttentionResult(
    int Tokens, IReadOnlyList<OctaveResult> Octaves, IReadOnlyList<IReadOnlyList<double>> LayerSpikes, IReadOnlyList<HeadReach> Heads,
    IReadOnlyList<CoverageResult> Coverages, IReadOnlyList<KeyKurtosis> Kurtoses);

/// <summary>Attention over an octave of distances, all layers and heads together.</summary>
/// <param name="Spikes">
/// Tokens of the octave that get more than <see cref="AttentionStatistics.SpikeShare"/> of a query's attention, a query and head.
/// </param>
/// <param name="Mass">Share of the attention.</param>
/// <param name="Lower">Lower quartile of a token's attention.</param>
/// <param name="Median">Median.</param>
/// <param name="Upper">Upper quartile.</param>
/// <param name="Most">The most.</param>
internal sealed record OctaveResult(double Spikes, double Mass, double Lower, double Median, double Upper, double Most);

/// <summary>How far a head looks: the mean distance of its attention, and the distance within which 95 % of it lie.</summary>
internal sealed record HeadReach(int Layer, int Head, double Mean, int Within95);

/// <summary>The share of the attention that a selection's tokens get, mean over layers, heads and the queries after a length.</summary>
internal sealed record CoverageResult(string Selection, int Length, int Kept, double Share);

/// <summary>
/// Kurtosis of a layer's keys (3 for a normal distribution): of all numbers of a head, which outlier channels raise, and of each
/// channel by itself.
/// </summary>
/// <param name="Layer">The layer.</param>
/// <param name="Numbers">Of a head's numbers, mean over heads.</param>
/// <param name="MeanChannel">Of a channel over the tokens, mean over channels.</param>
/// <param name="MostChannel">The most of a channel.</param>
internal sealed record KeyKurtosis(int Layer, double Numbers, double MeanChannel, double MostChannel);

/// <summary>What a method's cache does to attention outputs: L1 norm of the error over L1 norm of the output, by layer.</summary>
internal sealed record OutputErrorResult(int Tokens, IReadOnlyList<double> Layers, double AverageBits, double PeakBits)
{
    /// <summary>Mean over the layers.</summary>
    public double Mean => Layers.Average();
}
