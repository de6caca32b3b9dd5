namespace LocalLlm.Evaluation.Report;

/// <summary>What a picture shows; <see cref="ChartPainter"/> draws it, light and dark.</summary>
internal abstract record Chart
{
    /// <summary>One line above the picture.</summary>
    public required string Title { get; init; }

    /// <summary>The horizontal axis.</summary>
    public required ChartAxis X { get; init; }

    /// <summary>The vertical axis.</summary>
    public required ChartAxis Y { get; init; }

    /// <summary>In CSS pixels; a PNG has twice as many each way.</summary>
    public (int Width, int Height) Size { get; init; } = (760, 440);
}

/// <summary>An axis.</summary>
/// <param name="Label">What it measures, with the unit.</param>
/// <param name="Scale">How it is divided.</param>
/// <param name="Least">Where it begins; null for what the data ask for.</param>
/// <param name="Most">Where it ends; null for what the data ask for.</param>
internal sealed record ChartAxis(string Label, AxisScale Scale = AxisScale.Linear, double? Least = null, double? Most = null);

/// <summary>How an axis is divided.</summary>
internal enum AxisScale
{
    /// <summary>Equal steps.</summary>
    Linear,

    /// <summary>Powers of two: 512, 1k, 2k, 4k. For lengths in tokens.</summary>
    Log2,

    /// <summary>Powers of ten.</summary>
    Log10,
}

/// <summary>A point and its interval, if it has one.</summary>
internal readonly record struct ChartPoint(double X, double Y, double? Low = null, double? High = null);

/// <summary>A named line.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Points">In the order in which they are connected.</param>
/// <param name="Style">Which colour, marker and dashes of <see cref="ChartTheme"/>; null for those of its place among the lines.</param>
internal sealed record LineSeries(string Name, IReadOnlyList<ChartPoint> Points, int? Style = null);

/// <summary>Lines with markers. A point that a logarithmic axis cannot show is left out; the table beside the picture has it.</summary>
internal sealed record LineChart : Chart
{
    /// <summary>At most twelve, and better half as many: more cannot be told apart.</summary>
    public required IReadOnlyList<LineSeries> Lines { get; init; }

    /// <summary>False for points that no line connects.</summary>
    public bool IsConnected { get; init; } = true;
}

/// <summary>A bar's height and its interval, if it has one; NaN for no bar.</summary>
internal readonly record struct BarValue(double Value, double? Low = null, double? High = null);

/// <summary>The bars of one colour, one for each group.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Bars">One for each group.</param>
/// <param name="Style">Which colour of <see cref="ChartTheme"/>; null for that of its place among the series.</param>
internal sealed record BarSeries(string Name, IReadOnlyList<BarValue> Bars, int? Style = null);

/// <summary>Groups of bars. Upright, or lying where the groups' names are long.</summary>
internal sealed record BarChart : Chart
{
    /// <summary>Names of the groups.</summary>
    public required IReadOnlyList<string> Groups { get; init; }

    /// <summary>As many bars each as there are groups.</summary>
    public required IReadOnlyList<BarSeries> Series { get; init; }

    /// <summary>True for bars from left to right, the first group on top. <see cref="Chart.Y"/> stays the axis of the values.</summary>
    public bool IsLying { get; init; }

    /// <summary>A size for so many lying bars.</summary>
    public static (int Width, int Height) LyingSize(int bars) => (760, 110 + (30 * bars));
}

/// <summary>Counts or shares of the intervals between <see cref="Edges"/>, as outlines, so that several can be seen at once.</summary>
internal sealed record HistogramChart : Chart
{
    /// <summary>Ascending; one more than there are bins.</summary>
    public required IReadOnlyList<double> Edges { get; init; }

    /// <summary>Name and bins of each distribution.</summary>
    public required IReadOnlyList<(string Name, IReadOnlyList<double> Bins)> Distributions { get; init; }
}
