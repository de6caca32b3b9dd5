using ScottPlot;
using ScottPlot.TickGenerators;

namespace LocalLlm.Evaluation.Report;

/// <summary>Draws groups of bars.</summary>
internal static class BarPainter
{
    private const double GroupWidth = 0.8;

    public static void Draw(Plot plot, BarChart chart, ChartTheme theme)
    {
        if (chart.Y.Scale != AxisScale.Linear)
            throw new ArgumentException($"'{chart.Title}': a bar's length means nothing on a logarithmic axis; draw lines.", nameof(chart));
        var width = GroupWidth / chart.Series.Count;
        for (var s = 0; s < chart.Series.Count; s++)
        {
            var series = chart.Series[s];
            if (series.Bars.Count != chart.Groups.Count)
                throw new ArgumentException($"'{chart.Title}': {series.Bars.Count} bars, {chart.Groups.Count} groups.", nameof(chart));
            List<Bar> bars = [];
            for (var g = 0; g < series.Bars.Count; g++)
            {
                if (double.IsFinite(series.Bars[g].Value))
                    bars.Add(OneBar(chart, theme, s, width, g, series.Bars[g]));
            }

            if (bars.Count == 0)
                continue;
            var drawn = plot.Add.Bars(bars);
            drawn.Horizontal = chart.IsLying;
            drawn.LegendText = series.Name;
            AddIntervals(plot, chart, theme, s, width);
        }

        SetAxes(plot, chart);
        ChartPainter.ShowLegend(plot, chart.Series.Count);
    }

    // Lying groups are counted downwards, so that the first is on top.
    private static double Position(BarChart chart, int series, double width, int group)
    {
        var place = group - (GroupWidth / 2) + (width * (series + 0.5));
        return chart.IsLying ? -place : place;
    }

    private static Bar OneBar(BarChart chart, ChartTheme theme, int series, double width, int group, BarValue value) => new()
    {
        Position = Position(chart, series, width, group),
        Value = value.Value,
        Size = width * 0.92,
        FillColor = theme.Colour(chart.Series[series].Style ?? series),
        LineWidth = 0,
    };

    private static void AddIntervals(Plot plot, BarChart chart, ChartTheme theme, int series, double width)
    {
        for (var g = 0; g < chart.Groups.Count; g++)
        {
            if (chart.Series[series].Bars[g] is not { Low: { } low, High: { } high, Value: var value } || !double.IsFinite(value))
                continue;
            var position = Position(chart, series, width, g);
            var reach = (value - low, high - value);
            if (chart.IsLying)
                ChartPainter.AddInterval(plot, theme.Text, (value, position), across: reach);
            else
                ChartPainter.AddInterval(plot, theme.Text, (position, value), up: reach);
        }
    }

    private static void SetAxes(Plot plot, BarChart chart)
    {
        var values = chart.Series.SelectMany(s => s.Bars).Where(b => double.IsFinite(b.Value)).ToList();
        var highest = values.Select(b => Math.Max(b.Value, b.High ?? b.Value)).DefaultIfEmpty(1).Max();
        var lowest = values.Select(b => Math.Min(b.Value, b.Low ?? b.Value)).DefaultIfEmpty(0).Min();
        var least = chart.Y.Least ?? (lowest < 0 ? lowest * 1.05 : 0);
        var most = chart.Y.Most ?? (highest > 0 ? highest * 1.05 : 0);
        if (most <= least)
            most = least + 1;

        double[] places = [.. Enumerable.Range(0, chart.Groups.Count).Select(g => chart.IsLying ? -g : (double)g)];
        IAxis groups = chart.IsLying ? plot.Axes.Left : plot.Axes.Bottom;
        IAxis measure = chart.IsLying ? plot.Axes.Bottom : plot.Axes.Left;
        groups.TickGenerator = new NumericManual(places, [.. chart.Groups]);
        groups.MajorTickStyle.Length = 0;
        ChartPainter.SetTicks(measure, chart.Y, least, most);
        if (chart.IsLying)
            plot.Axes.SetLimits(least, most, -(chart.Groups.Count - 0.5), 0.5);
        else
            plot.Axes.SetLimits(-0.5, chart.Groups.Count - 0.5, least, most);
        var grid = plot.Axes.DefaultGrid;
        if (chart.IsLying)
            grid.YAxisStyle.IsVisible = false;
        else
            grid.XAxisStyle.IsVisible = false;
    }
}
