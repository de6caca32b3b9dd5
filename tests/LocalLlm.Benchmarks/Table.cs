using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace LocalLlm.Benchmarks;

/// <summary>Rows of named figures, for people and for scripts.</summary>
internal sealed class Table(string title)
{
    public static JsonSerializerOptions JsonOptions { get; } = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    public List<Dictionary<string, object?>> Rows { get; } = [];

    public void Add(params (string Name, object? Value)[] figures) =>
        Rows.Add(figures.ToDictionary(f => f.Name, f => f.Value is double x ? Round(x) : f.Value));

    public string ToText()
    {
        var names = Rows.SelectMany(r => r.Keys).Distinct().ToList();
        var lines = Rows.Select(r => names.Select(n => Show(r.GetValueOrDefault(n))).ToList()).Prepend(names).ToList();
        var widths = names.Select((_, i) => lines.Max(l => l[i].Length)).ToList();
        var text = new StringBuilder(title).AppendLine();
        foreach (var line in lines)
            text.AppendLine(string.Join("  ", line.Select((cell, i) => cell.PadLeft(widths[i]))));
        return text.ToString();
    }

    // Four significant digits: no clock here knows more.
    private static double Round(double x) => x == 0 || !double.IsFinite(x) ? x : double.Parse(x.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static string Show(object? value) => value is null ? "" : Convert.ToString(value, CultureInfo.InvariantCulture)!;
}
