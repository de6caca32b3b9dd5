using LocalLlm.Evaluation.Report;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>The figures as pictures, means over the texts.</summary>
internal static class AttentionCharts
{
    private const string DistanceLabel = "distance, tokens (each point an octave of distances)";

    /// <summary>Spikes and share of the attention by distance.</summary>
    public static LineChart Spikes(string name, IReadOnlyList<AttentionResult> texts) => new()
    {
        Title = $"Spikes by distance, {name}",
        X = new(DistanceLabel, AxisScale.Log2),
        Y = new("spikes, or share, a query and head", Least: 0),
        Lines =
        [
            ByOctave("spikes in the octave", texts, of => of.Average(o => o.Spikes)),
            ByOctave("share of the attention", texts, of => of.Average(o => o.Mass)),
        ],
    };

    /// <summary>Quartiles and maximum of a token's attention by distance.</summary>
    public static LineChart Quartiles(string name, IReadOnlyList<AttentionResult> texts) => new()
    {
        Title = $"Attention that a token gets, {name}",
        X = new(DistanceLabel, AxisScale.Log2),
        Y = new("share of a query's attention", AxisScale.Log10),
        Lines =
        [
            ByOctave("most", texts, of => of.Max(o => o.Most)),
            ByOctave("upper quartile", texts, of => of.Average(o => o.Upper)),
            ByOctave("median", texts, of => of.Average(o => o.Median)),
        ],
    };

    /// <summary>Coverage of the selections by length.</summary>
    public static LineChart Coverage(string name, IReadOnlyList<AttentionResult> texts)
    {
        var coverages = texts.SelectMany(t => t.Coverages).ToLookup(c => c.Selection);
        return new()
        {
            Title = $"Attention on the tokens kept, {name}",
            X = new("tokens so far", AxisScale.Log2),
            Y = new("% of the attention", Least: 0, Most: 100),
            Lines = [.. Selections.Names.Select(Line)],
        };

        LineSeries Line(string selection) =>
            new(selection, [.. coverages[selection].GroupBy(c => c.Length).OrderBy(g => g.Key).Select(Mean)]);

        static ChartPoint Mean(IGrouping<int, CoverageResult> of) => new(of.Key, 100 * of.Average(c => c.Share));
    }

    /// <summary>The paper's table 2.</summary>
    public static BarChart Pairs(string name, IReadOnlyList<(string Method, OutputErrorResult Result)> errors)
    {
        var ratios = AttentionTables.PairRatios(errors);
        return new()
        {
            Title = $"L1 error of attention outputs, {name}",
            X = new(""),
            Y = new($"error, as a multiple of “{SelectionPair.All[0].Method.Label}”", Least: 0),
            Groups = [.. ratios.Select(r => r.Pair.Method.Label)],
            Series =
            [
                new("here", [.. ratios.Select(r => new BarValue(r.Ratio))]),
                new("in the paper", [.. ratios.Select(r => new BarValue(r.PaperRatio ?? double.NaN))]),
            ],
            IsLying = true,
            Size = BarChart.LyingSize(2 * ratios.Count),
        };
    }

    private static LineSeries ByOctave(string name, IReadOnlyList<AttentionResult> texts, Func<List<OctaveResult>, double> figure) => new(
        name,
        [
            .. Enumerable.Range(1, texts.Min(t => t.Octaves.Count) - 1)
                .Select(o => new ChartPoint(Middle(o), figure([.. texts.Select(t => t.Octaves[o])]))),
        ]);

    // Geometric middle of an octave's distances.
    private static double Middle(int octave) => Math.Sqrt(Math.Pow(2, octave - 1) * (Math.Pow(2, octave) - 1));
}
