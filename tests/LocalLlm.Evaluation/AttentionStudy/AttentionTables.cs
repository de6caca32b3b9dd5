using System.Globalization;
using LocalLlm.Evaluation.Methods;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>The figures as tables, means over the texts.</summary>
internal static class AttentionTables
{
    /// <summary>How far each head looks.</summary>
    public static Table Reach(string title, IReadOnlyList<AttentionResult> texts)
    {
        var table = new Table(title);
        foreach (var head in texts.SelectMany(t => t.Heads).GroupBy(h => (h.Layer, h.Head)).OrderBy(g => g.Key))
        {
            table.Add(
                ("layer", head.Key.Layer), ("head", head.Key.Head), ("mean distance", head.Average(h => h.Mean)),
                ("95% of it within", (int)head.Average(h => h.Within95)));
        }

        return table;
    }

    /// <summary>Spikes, mass and quartiles by octave of distance.</summary>
    public static Table Octaves(string title, IReadOnlyList<AttentionResult> texts)
    {
        var table = new Table(title);
        for (var octave = 0; octave < texts.Min(t => t.Octaves.Count); octave++)
        {
            var of = texts.Select(t => t.Octaves[octave]).ToList();
            table.Add(
                ("distance", OctaveName(octave)), ("spikes", of.Average(o => o.Spikes)),
                ("% of the attention", 100 * of.Average(o => o.Mass)), ("lower quartile", of.Average(o => o.Lower)),
                ("median", of.Average(o => o.Median)), ("upper quartile", of.Average(o => o.Upper)), ("most", of.Max(o => o.Most)));
        }

        return table;
    }

    /// <summary>Spikes by layer and octave of distance.</summary>
    public static Table LayerSpikes(string title, IReadOnlyList<AttentionResult> texts)
    {
        var table = new Table(title);
        var octaves = texts.Min(t => t.Octaves.Count);
        for (var layer = 0; layer < texts[0].LayerSpikes.Count; layer++)
        {
            table.Add(
            [
                ("layer", layer),
                .. Enumerable.Range(0, octaves).Select(o => (OctaveName(o), (object?)texts.Average(t => t.LayerSpikes[layer][o]))),
            ]);
        }

        return table;
    }

    /// <summary>Coverage of the selections by length.</summary>
    public static Table Coverage(string title, IReadOnlyList<AttentionResult> texts)
    {
        var table = new Table(title);
        var all = texts.SelectMany(t => t.Coverages).ToList();
        var lengths = all.Select(c => c.Length).Distinct().Order().ToList();
        foreach (var selection in Selections.Names)
        {
            table.Add(
            [
                ("kept by", selection),
                .. lengths.Select(length => (Name(length), (object?)(100 * Of(selection, length).Average(c => c.Share)))),
                ("tokens kept", string.Join(" / ", lengths.Select(length => Math.Round(Of(selection, length).Average(c => c.Kept))))),
            ]);
        }

        return table;

        IEnumerable<CoverageResult> Of(string selection, int length) => all.Where(c => c.Selection == selection && c.Length == length);

        static string Name(int length) => $"of {length.ToString("N0", CultureInfo.InvariantCulture)}";
    }

    /// <summary>The rows of <see cref="SelectionPair.All"/> that have results, and the mean of their errors.</summary>
    public static IReadOnlyList<(SelectionPair Pair, double Error, double Ratio, double? PaperRatio)> PairRatios(
        IReadOnlyList<(string Method, OutputErrorResult Result)> errors)
    {
        var first = SelectionPair.All[0];
        var means = errors.ToLookup(e => e.Method, e => e.Result.Mean);
        return
        [
            .. SelectionPair.All.Where(p => means.Contains(p.Method.Id) && means.Contains(first.Method.Id)).Select(p =>
            {
                var error = means[p.Method.Id].Average();
                return (p, error, error / means[first.Method.Id].Average(), p.PaperError / first.PaperError);
            }),
        ];
    }

    /// <summary>The paper's table 2.</summary>
    public static Table Pairs(string title, IReadOnlyList<(string Method, OutputErrorResult Result)> errors)
    {
        var table = new Table(title);
        foreach (var (pair, error, ratio, paperRatio) in PairRatios(errors))
        {
            table.Add(
                ("full precision for, others", pair.Method.Label), ("L1 error, %", 100 * error), ("of the first row's", ratio),
                ("in the paper", paperRatio), ("the paper's L1 error", pair.PaperError));
        }

        return table;
    }

    /// <summary>What methods do to the outputs.</summary>
    public static Table Errors(string title, IEnumerable<(string Method, OutputErrorResult Result)> errors)
    {
        var table = new Table(title);
        foreach (var method in errors.GroupBy(e => e.Method).OrderBy(g => MethodNames.Order(g.Key)))
        {
            var of = method.Select(m => m.Result).ToList();
            table.Add(
            [
                ("method", MethodNames.Label(method.Key)), ("average bits", of.Average(r => r.AverageBits)),
                ("peak bits", of.Average(r => r.PeakBits)), ("L1 error", 100 * of.Average(r => r.Mean)),
                .. Enumerable.Range(0, of[0].Layers.Count)
                    .Select(layer => ($"layer {layer}", (object?)(100 * of.Average(r => r.Layers[layer])))),
            ]);
        }

        return table;
    }

    /// <summary>Kurtosis of keys by layer.</summary>
    public static Table Kurtosis(string title, IReadOnlyList<AttentionResult> texts)
    {
        var table = new Table(title);
        foreach (var layer in texts.SelectMany(t => t.Kurtoses).GroupBy(k => k.Layer).OrderBy(g => g.Key))
        {
            table.Add(
                ("layer", layer.Key), ("of a head's numbers", layer.Average(k => k.Numbers)),
                ("of a channel, mean", layer.Average(k => k.MeanChannel)), ("of a channel, most", layer.Average(k => k.MostChannel)));
        }

        return table;
    }

    /// <summary>"0", "1", "2–3", "4–7" …</summary>
    public static string OctaveName(int octave) => octave switch
    {
        0 => "0",
        1 => "1",
        _ => string.Create(CultureInfo.InvariantCulture, $"{1 << (octave - 1)}–{(1 << octave) - 1}"),
    };
}
