using ScottPlot;
using ScottPlot.Plottables;
using ScottPlot.TickGenerators;

namespace LocalLlm.Evaluation.Report;

/// <summary>Draws a <see cref="Chart"/> with ScottPlot.</summary>
internal static class ChartPainter
{
    private const int PixelRatio = 2;

    /// <summary>Writes the picture in both themes: <paramref name="pathWithoutEnd"/>-light.png and -dark.png.</summary>
    public static void Save(Chart chart, string pathWithoutEnd)
    {
        ChartFonts.Choose();
        var (width, height) = (chart.Size.Width * PixelRatio, chart.Size.Height * PixelRatio);
        foreach (var theme in new[] { ChartTheme.Light, ChartTheme.Dark })
        {
            using var plot = Draw(chart, theme);
            plot.SavePng($"{pathWithoutEnd}-{theme.Suffix}.png", width, height);
        }
    }

    private static Plot Draw(Chart chart, ChartTheme theme)
    {
        var plot = new Plot { ScaleFactor = PixelRatio };
        var isLying = chart is BarChart { IsLying: true };
        var (x, y) = isLying ? (chart.Y, chart.X) : (chart.X, chart.Y);
        Style(plot, chart, theme, x, y);
        switch (chart)
        {
            case LineChart lines:
                DrawLines(plot, lines, theme);
                break;
            case BarChart bars:
                BarPainter.Draw(plot, bars, theme);
                break;
            case HistogramChart histogram:
                DrawHistogram(plot, histogram, theme);
                break;
            default:
                throw new ArgumentException($"No drawing for {chart.GetType().Name}.", nameof(chart));
        }

        if (chart is BarChart)
            return plot;
        plot.Axes.AutoScale();
        var limits = plot.Axes.GetLimits();
        if (chart is HistogramChart && y is { Scale: AxisScale.Linear, Least: null })
            y = y with { Least = 0 };
        var (left, right) = Limits(x, limits.Left, limits.Right);
        var (bottom, top) = Limits(y, limits.Bottom, limits.Top);
        plot.Axes.SetLimits(left, right, bottom, top);
        if (y.Scale == AxisScale.Linear && bottom < 0 && top > 0)
            plot.Add.HorizontalLine(0, width: 1, color: theme.Text);
        SetTicks(plot.Axes.Bottom, x, left, right);
        SetTicks(plot.Axes.Left, y, bottom, top);
        return plot;
    }

    private static void Style(Plot plot, Chart chart, ChartTheme theme, ChartAxis x, ChartAxis y)
    {
        plot.FigureBackground.Color = theme.Background;
        plot.DataBackground.Color = theme.Background;
        plot.Axes.Color(theme.Text);
        plot.Grid.MajorLineColor = theme.Grid;
        plot.Grid.IsBeneathPlottables = true;
        plot.Axes.Right.FrameLineStyle.IsVisible = false;
        plot.Axes.Top.FrameLineStyle.IsVisible = false;
        plot.Title(chart.Title, size: 15);
        plot.Axes.Title.Label.Bold = false;
        plot.XLabel(x.Label, size: 13);
        plot.YLabel(y.Label, size: 13);
        foreach (var axis in new IAxis[] { plot.Axes.Bottom, plot.Axes.Left })
        {
            axis.Label.Bold = false;
            axis.TickLabelStyle.FontSize = 12;
            axis.MinorTickStyle.Length = 0;
        }

        plot.Legend.BackgroundColor = theme.Background;
        plot.Legend.FontColor = theme.Text;
        plot.Legend.OutlineColor = theme.Grid;
        plot.Legend.ShadowColor = Colors.Transparent;
        plot.Legend.FontSize = 12;
        plot.Legend.SymbolWidth = 34;
    }

    private static void DrawLines(Plot plot, LineChart chart, ChartTheme theme)
    {
        if (chart.Lines.Count > ChartTheme.Markers.Count)
            throw new ArgumentException($"'{chart.Title}': {chart.Lines.Count} lines; at most {ChartTheme.Markers.Count}.", nameof(chart));
        for (var i = 0; i < chart.Lines.Count; i++)
        {
            var points = chart.Lines[i].Points.Where(p => Shows(chart.X, p.X) && Shows(chart.Y, p.Y)).ToList();
            if (points.Count == 0)
                continue;
            var xs = points.Select(p => Place(chart.X, p.X)).ToArray();
            var ys = points.Select(p => Place(chart.Y, p.Y)).ToArray();
            var style = (chart.Lines[i].Style ?? i) % ChartTheme.Markers.Count;
            var scatter = plot.Add.Scatter(xs, ys, theme.Colour(style));
            scatter.LegendText = chart.Lines[i].Name;
            scatter.LineWidth = chart.IsConnected ? 2 : 0;
            scatter.LinePattern = ChartTheme.Patterns[style];
            scatter.MarkerShape = ChartTheme.Markers[style];
            scatter.MarkerSize = 8;
            AddIntervals(plot, chart.Y, points, xs, theme.Colour(style));
        }

        ShowLegend(plot, chart.Lines.Count);
    }

    private static void AddIntervals(Plot plot, ChartAxis y, List<ChartPoint> points, double[] xs, Color color)
    {
        for (var i = 0; i < points.Count; i++)
        {
            if (points[i] is not { Low: { } low, High: { } high } || !Shows(y, high))
                continue;
            var bottom = Place(y, Shows(y, low) ? low : points[i].Y);
            var place = Place(y, points[i].Y);
            AddInterval(plot, color, (xs[i], place), up: (place - bottom, Place(y, high) - place));
        }
    }

    /// <summary>A whisker from a point to both sides, up and down or left and right.</summary>
    internal static void AddInterval(
        Plot plot, Color color, (double X, double Y) at,
        (double Less, double More) up = default, (double Less, double More) across = default)
    {
        // By name: the library takes the positive sides first.
        plot.PlottableList.Add(new ErrorBar(
            [at.X], [at.Y], xErrorsNegative: [across.Less], xErrorsPositive: [across.More], yErrorsNegative: [up.Less], yErrorsPositive: [up.More])
        {
            Color = color,
            LineWidth = 1.5f,
            CapSize = 4,
        });
    }

    private static void DrawHistogram(Plot plot, HistogramChart chart, ChartTheme theme)
    {
        for (var i = 0; i < chart.Distributions.Count; i++)
        {
            var (name, bins) = chart.Distributions[i];
            if (bins.Count != chart.Edges.Count - 1)
                throw new ArgumentException($"'{chart.Title}': {bins.Count} bins between {chart.Edges.Count} edges.", nameof(chart));
            // The outline goes up and down at the edges, from the axis and back to it.
            var floor = chart.Y.Scale == AxisScale.Linear ? 0 : chart.Y.Least ?? bins.Where(b => b > 0).DefaultIfEmpty(1).Min();
            var xs = chart.Edges.SelectMany(e => new[] { e, e }).Select(e => Place(chart.X, e)).ToArray();
            var heights = bins.SelectMany(b => new[] { b, b }).Prepend(floor).Append(floor);
            var ys = heights.Select(h => Place(chart.Y, Math.Max(h, floor))).ToArray();
            var outline = plot.Add.ScatterLine(xs, ys, theme.Colour(i));
            outline.LegendText = name;
            outline.LineWidth = 2;
            outline.LinePattern = ChartTheme.Patterns[i % ChartTheme.Patterns.Count];
        }

        ShowLegend(plot, chart.Distributions.Count);
    }

    /// <summary>Shows the names beside the data, where there are several.</summary>
    internal static void ShowLegend(Plot plot, int names)
    {
        if (names > 1)
            plot.ShowLegend(Edge.Right);
        else
            plot.HideLegend();
    }

    /// <summary>True for a number that the axis can show.</summary>
    internal static bool Shows(ChartAxis axis, double value) => double.IsFinite(value) && (axis.Scale == AxisScale.Linear || value > 0);

    /// <summary>Where a number lies on the axis: ScottPlot draws logarithmic axes as linear ones of the logarithm.</summary>
    internal static double Place(ChartAxis axis, double value) => axis.Scale switch
    {
        AxisScale.Log2 => Math.Log2(value),
        AxisScale.Log10 => Math.Log10(value),
        _ => value,
    };

    /// <summary>Marks the axis, whose limits are places.</summary>
    internal static void SetTicks(IAxis axis, ChartAxis chartAxis, double least, double most)
    {
        if (chartAxis.Scale == AxisScale.Linear)
        {
            axis.TickGenerator = new NumericAutomatic { LabelFormatter = v => AxisTicks.Text(v) };
            return;
        }

        var power = chartAxis.Scale == AxisScale.Log2 ? 2 : 10;
        var marks = AxisTicks.Logarithmic(chartAxis.Scale, Math.Pow(power, least), Math.Pow(power, most));
        axis.TickGenerator = new NumericManual([.. marks.Select(m => Place(chartAxis, m.Value))], [.. marks.Select(m => m.Label)]);
    }

    private static (double Least, double Most) Limits(ChartAxis axis, double least, double most) =>
        (axis.Least is { } l ? Place(axis, l) : least, axis.Most is { } m ? Place(axis, m) : most);
}
