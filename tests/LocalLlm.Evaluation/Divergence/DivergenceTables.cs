using System.Globalization;
using LocalLlm.Evaluation.Methods;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>The figures as tables.</summary>
internal static class DivergenceTables
{
    /// <summary>Lower ends of the classes of positions, in tokens.</summary>
    public static IReadOnlyList<int> Positions { get; } = [0, 256, 512, 1024, 2048, 4096, 8192, 16384];

    /// <summary>Lower ends of the classes of distances from a fact to the answer that needs it, in tokens.</summary>
    public static IReadOnlyList<int> Distances { get; } = [1, 128, 256, 512, 1024, 2048];

    /// <summary>Rows of a class of positions.</summary>
    public static IEnumerable<int> At(DivergenceResult text, int index) =>
        AllRows(text).Where(row => ClassOf(Positions, row) == index);

    /// <summary>Rows of answers whose fact lies a class of distances back.</summary>
    public static IEnumerable<int> Back(DivergenceResult text, int index) =>
        text.Spans.Where(s => s.Distance > 0 && ClassOf(Distances, s.Distance) == index).SelectMany(DivergenceResult.Rows);

    /// <summary>The name of a class.</summary>
    public static string ClassName(IReadOnlyList<int> lowerEnds, int index) => index + 1 < lowerEnds.Count
        ? string.Create(CultureInfo.InvariantCulture, $"{lowerEnds[index]}–{lowerEnds[index + 1] - 1}")
        : string.Create(CultureInfo.InvariantCulture, $"{lowerEnds[index]}+");

    /// <summary>Every row.</summary>
    public static IEnumerable<int> AllRows(DivergenceResult text) => Enumerable.Range(0, text.Kl.Count);

    /// <summary>A method's label by its id.</summary>
    public static string Label(string id) => MethodCatalog.All.FirstOrDefault(m => m.Id == id)?.Label ?? id;

    /// <summary>All figures of a model and a length.</summary>
    /// <param name="model">The model's name.</param>
    /// <param name="tokens">The texts' length.</param>
    /// <param name="results">Of each method, by its id, one result for each text.</param>
    /// <param name="name">How a method is called; null for its id.</param>
    public static IReadOnlyList<Table> Of(
        string model, int tokens, IReadOnlyDictionary<string, List<DivergenceResult>> results, Func<string, string>? name = null)
    {
        var texts = results.Values.Select(r => r.Count).DefaultIfEmpty().Max();
        var main = new Table($"kl, {model}, {texts} × {tokens} tokens: nats from the full-precision cache");
        var positions = new Table($"kl, {model}, {tokens} tokens: mean by position");
        var distances = new Table($"kl, {model}, {tokens} tokens: mean of answers by the distance of the fact they need");
        foreach (var (id, units) in results)
        {
            var method = name?.Invoke(id) ?? id;
            var all = DivergenceStatistics.Of(units, AllRows)!;
            var written = DivergenceStatistics.Of(units, t => t.WrittenRows);
            main.Add(
                ("method", method), ("W", units[0].Window), ("average bits", units.Average(u => u.AverageBits)),
                ("peak bits", units.Average(u => u.PeakBits)), ("mean", all.Mean), ("low", Known(all.Low)), ("high", Known(all.High)),
                ("times ours", TimesOurs(units, results)), ("median", all.Median), ("99.9%", all.P999), ("same top-1 %", 100 * all.SameTop),
                ("mean written", written?.Mean), ("same top-1 written %", 100 * written?.SameTop));
            AddClasses(positions, method, units, Positions, At);
            AddClasses(distances, method, units, Distances, Back);
        }

        return [main, positions, .. distances.Rows.Any(r => r.Count > 1) ? new[] { distances } : []];
    }

    /// <summary>Methods with windows chosen by peak bits, beside the same with windows chosen by average bits.</summary>
    /// <param name="model">The model's name.</param>
    /// <param name="tokens">The texts' length.</param>
    /// <param name="byAverage">Of each method, by its id, one result for each text.</param>
    /// <param name="byPeak">The same at equal peaks.</param>
    /// <param name="name">How a method is called; null for its id.</param>
    public static Table AtEqualPeaks(
        string model, int tokens, IReadOnlyDictionary<string, List<DivergenceResult>> byAverage,
        IReadOnlyDictionary<string, List<DivergenceResult>> byPeak, Func<string, string>? name = null)
    {
        var table = new Table($"kl, {model}, {tokens} tokens: windows chosen by peak bits, nats from the full-precision cache");
        var ours = byPeak.GetValueOrDefault(MethodCatalog.Ours.Id);
        foreach (var (id, units) in byPeak)
        {
            var average = byAverage.GetValueOrDefault(id);
            var all = DivergenceStatistics.Of(units, AllRows)!;
            table.Add(
                ("method", name?.Invoke(id) ?? id), ("W by average", average?[0].Window),
                ("average / ours", average?.Average(u => u.AverageBits) / ours?.Average(u => u.AverageBits)),
                ("mean at equal average", average is null ? null : DivergenceStatistics.Of(average, AllRows)!.Mean),
                ("W by peak", units[0].Window), ("average bits", units.Average(u => u.AverageBits)), ("peak bits", units.Average(u => u.PeakBits)),
                ("peak / ours", units.Average(u => u.PeakBits) / ours?.Average(u => u.PeakBits)),
                ("mean at equal peaks", all.Mean), ("low", Known(all.Low)), ("high", Known(all.High)), ("times ours", TimesOurs(units, byPeak)),
                ("same top-1 written %", 100 * DivergenceStatistics.Of(units, t => t.WrittenRows)?.SameTop));
        }

        return table;
    }

    /// <summary>A sweep, best first, with the methods that no other beats in both mean divergence and average bits marked.</summary>
    public static Table Sweep(string model, int tokens, IReadOnlyDictionary<string, List<DivergenceResult>> results)
    {
        var table = new Table($"kl --sweep, {model}, {tokens} tokens: nats from the full-precision cache; "
            + "* is on the Pareto front of mean and average bits");
        var rows = results.Select(r => (Id: r.Key, Bits: r.Value.Average(u => u.AverageBits), Peak: r.Value.Average(u => u.PeakBits),
            All: DivergenceStatistics.Of(r.Value, AllRows)!, Written: DivergenceStatistics.Of(r.Value, t => t.WrittenRows)))
            .OrderBy(r => r.All.Mean).ToList();
        var front = ParetoFront([.. rows.Select(r => (r.Bits, r.All.Mean))]);
        for (var i = 0; i < rows.Count; i++)
        {
            var r = rows[i];
            table.Add(
                ("front", front.Contains(i) ? "*" : ""), ("options", r.Id[OptionGrid.IdStart.Length..]),
                ("average bits", r.Bits), ("peak bits", r.Peak), ("mean", r.All.Mean), ("low", Known(r.All.Low)), ("high", Known(r.All.High)),
                ("99.9%", r.All.P999), ("same top-1 %", 100 * r.All.SameTop), ("mean written", r.Written?.Mean),
                ("same top-1 written %", 100 * r.Written?.SameTop));
        }

        return table;
    }

    /// <summary>Indices of the points that no other point beats: none is at most as large in both and smaller in one.</summary>
    public static IReadOnlySet<int> ParetoFront(IReadOnlyList<(double X, double Y)> points) => Enumerable.Range(0, points.Count)
        .Where(i => !points.Any(p => p.X <= points[i].X && p.Y <= points[i].Y && (p.X < points[i].X || p.Y < points[i].Y))).ToHashSet();

    private static double? Known(double x) => double.IsNaN(x) ? null : x;

    // Paired: both on the same texts, so that texts that are hard for every method do not widen the interval.
    private static string? TimesOurs(List<DivergenceResult> units, IReadOnlyDictionary<string, List<DivergenceResult>> results)
    {
        if (!results.TryGetValue(MethodCatalog.Ours.Id, out var ours) || units == ours
            || DivergenceStatistics.RatioOfMeans(units, ours) is not { } ratio)
        {
            return null;
        }

        var interval = double.IsNaN(ratio.Low) ? "" : string.Create(CultureInfo.InvariantCulture, $" [{ratio.Low:F2}, {ratio.High:F2}]");
        return ratio.Ratio.ToString("F2", CultureInfo.InvariantCulture) + interval;
    }

    private static int ClassOf(IReadOnlyList<int> lowerEnds, int value)
    {
        var index = lowerEnds.Count - 1;
        while (index > 0 && value < lowerEnds[index])
            index--;
        return index;
    }

    private static void AddClasses(
        Table table, string method, List<DivergenceResult> units, IReadOnlyList<int> lowerEnds,
        Func<DivergenceResult, int, IEnumerable<int>> rows)
    {
        List<(string, object?)> figures = [("method", method)];
        for (var index = 0; index < lowerEnds.Count; index++)
        {
            var at = index;
            if (DivergenceStatistics.Of(units, t => rows(t, at)) is { } statistics)
                figures.Add((ClassName(lowerEnds, index), statistics.Mean));
        }

        table.Add([.. figures]);
    }
}
