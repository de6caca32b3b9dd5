using System.Globalization;

namespace LocalLlm.Evaluation.Report;

/// <summary>Where a logarithmic axis is marked, and how numbers read there.</summary>
internal static class AxisTicks
{
    private const int MostTicks = 9;

    /// <summary>
    /// Marks between <paramref name="least"/> and <paramref name="most"/>: powers of two, or of ten with 2 and 5 between where there is
    /// room; fewer
    /// where they would crowd.
    /// </summary>
    public static IReadOnlyList<(double Value, string Label)> Logarithmic(AxisScale scale, double least, double most)
    {
        var marks = scale == AxisScale.Log2 ? PowersOfTwo(least, most) : PowersOfTen(least, most);
        return [.. marks.Select(v => (v, Text(v, isBinary: scale == AxisScale.Log2)))];
    }

    /// <summary>A number as an axis shows it: 512, 1k, 128k (k is 1,024 where the axis counts in powers of two); 0.02; 1e-5.</summary>
    public static string Text(double value, bool isBinary = false)
    {
        var k = isBinary ? 1024.0 : 1000.0;
        var (scaled, unit) = Math.Abs(value) >= k * k ? (value / (k * k), "M") : Math.Abs(value) >= k ? (value / k, "k") : (value, "");
        if (value != 0 && Math.Abs(value) < 1e-3)
            return value.ToString("0.##e0", CultureInfo.InvariantCulture);
        return scaled.ToString("0.####", CultureInfo.InvariantCulture) + unit;
    }

    private static List<double> PowersOfTwo(double least, double most)
    {
        var (first, last) = ((int)Math.Ceiling(Math.Log2(least) - 1e-9), (int)Math.Floor(Math.Log2(most) + 1e-9));
        var step = Math.Max(1, (last - first + MostTicks) / MostTicks);
        return [.. Exponents(first, last, step).Select(e => Math.Pow(2, e))];
    }

    private static List<double> PowersOfTen(double least, double most)
    {
        var (first, last) = ((int)Math.Ceiling(Math.Log10(least) - 1e-9), (int)Math.Floor(Math.Log10(most) + 1e-9));
        if (last - first >= 3)
            return [.. Exponents(first, last, Math.Max(1, (last - first + MostTicks) / MostTicks)).Select(Power)];
        double[] steps = [1, 2, 5];
        return
        [
            .. Exponents(first - 1, last + 1, 1).SelectMany(e => steps.Select(s => s * Power(e)))
                .Where(v => v >= least * (1 - 1e-9) && v <= most * (1 + 1e-9)),
        ];
    }

    // Parsed, not computed: 1e-5 is then the number that its text names.
    private static double Power(int exponent) => double.Parse($"1e{exponent}", CultureInfo.InvariantCulture);

    private static IEnumerable<int> Exponents(int first, int last, int step)
    {
        for (var e = first; e <= last; e += step)
            yield return e;
    }
}
