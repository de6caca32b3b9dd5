using ScottPlot;

namespace LocalLlm.Evaluation.Report;

/// <summary>The colours of a picture on a light or on a dark page.</summary>
/// <param name="Suffix">The end of the file's name.</param>
/// <param name="Background">Of the picture.</param>
/// <param name="Text">Of titles, labels and axes.</param>
/// <param name="Grid">Of the lines behind the data.</param>
/// <param name="Series">Of the data, in order.</param>
internal sealed record ChartTheme(string Suffix, Color Background, Color Text, Color Grid, IReadOnlyList<Color> Series)
{
    /// <summary>
    /// Okabe and Ito's colours, which people with any colour vision tell apart. Yellow is darker on white, and their black is white on a
    /// dark page: both
    /// would not be seen.
    /// </summary>
    public static ChartTheme Light { get; } = new("light", Hex("#ffffff"), Hex("#24292f"), Hex("#e3e6ea"),
        Colors("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8a800"));

    /// <inheritdoc cref="Light"/>
    public static ChartTheme Dark { get; } = new("dark", Hex("#0d1117"), Hex("#d7dde3"), Hex("#2a313a"),
        Colors("#3a9bdc", "#f0762b", "#1fc796", "#e39cc4", "#f0b429", "#8fd0f5", "#f5f5f5", "#f0e442"));

    /// <summary>Colour of the n-th series; from the ninth on they come again, with other markers and dashes.</summary>
    public Color Colour(int style) => Series[style % Series.Count];

    /// <summary>Marker of the n-th series: told apart without colours.</summary>
    public static IReadOnlyList<MarkerShape> Markers { get; } =
    [
        MarkerShape.FilledCircle, MarkerShape.FilledSquare, MarkerShape.FilledTriangleUp, MarkerShape.FilledDiamond,
        MarkerShape.FilledTriangleDown, MarkerShape.OpenCircle, MarkerShape.OpenSquare, MarkerShape.OpenTriangleUp,
        MarkerShape.OpenDiamond, MarkerShape.OpenTriangleDown, MarkerShape.Eks, MarkerShape.Cross,
    ];

    /// <summary>Dashes of the n-th series.</summary>
    public static IReadOnlyList<LinePattern> Patterns { get; } =
    [
        LinePattern.Solid, LinePattern.Dashed, LinePattern.Dotted, LinePattern.DenselyDashed,
        LinePattern.Solid, LinePattern.Dashed, LinePattern.Dotted, LinePattern.DenselyDashed,
        LinePattern.Dotted, LinePattern.DenselyDashed, LinePattern.Solid, LinePattern.Dashed,
    ];

    private static Color Hex(string text) => Color.FromHex(text);

    private static Color[] Colors(params string[] texts) => [.. texts.Select(Hex)];
}
