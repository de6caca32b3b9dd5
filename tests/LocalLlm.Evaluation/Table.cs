using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace LocalLlm.Evaluation;

/// <summary>Rows of named figures, for people and for scripts.</summary>
internal sealed class Table(string title)
{
    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>The rows, each figure by its column.</summary>
    public List<Dictionary<string, object?>> Rows { get; } = [];

    /// <summary>Tables as one JSON object by their titles.</summary>
    public static string ToJson(IEnumerable<Table> tables) =>
        JsonSerializer.Serialize(tables.Select(t => new { t.Title, t.Rows }), JsonOptions);

    /// <summary>What the figures are.</summary>
    public string Title { get; } = title;

    /// <summary>Adds a row; a double is rounded to four significant digits.</summary>
    public void Add(params (string Name, object? Value)[] figures) =>
        Rows.Add(figures.ToDictionary(f => f.Name, f => f.Value is double x ? Round(x) : f.Value));

    /// <summary>The table for a terminal: text to the left, numbers to the right.</summary>
    public string ToText()
    {
        var names = Rows.SelectMany(r => r.Keys).Distinct().ToList();
        var lines = Rows.Select(r => names.Select(n => Show(r.GetValueOrDefault(n))).ToList()).Prepend(names).ToList();
        var widths = names.Select((_, i) => lines.Max(l => l[i].Length)).ToList();
        var isText = names.Select(n => Rows.Any(r => r.GetValueOrDefault(n) is string)).ToList();
        var text = new StringBuilder(Title).AppendLine();
        foreach (var line in lines)
        {
            var cells = line.Select((cell, i) => isText[i] ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]));
            text.AppendLine(string.Join("  ", cells).TrimEnd());
        }

        return text.ToString();
    }

    private static double Round(double x) =>
        x == 0 || !double.IsFinite(x) ? x : double.Parse(x.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    /// <summary>A figure as text.</summary>
    internal static string Show(object? value) => value switch
    {
        null => "",
        double x when x != 0 && Math.Abs(x) < 1e-4 => x.ToString("0.###e0", CultureInfo.InvariantCulture),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };
}
