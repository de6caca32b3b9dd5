using System.Net;
using System.Text;

namespace LocalLlm.Evaluation.Report;

/// <summary>Builds a Markdown page and the pictures beside it. Nothing is written before <see cref="Save"/>.</summary>
/// <param name="folder">The page's folder.</param>
/// <param name="pictureFolder">The name of the pictures' folder in it.</param>
internal sealed class ReportWriter(string folder, string pictureFolder = "evaluation")
{
    /// <summary>How the program is run.</summary>
    public const string Program = "dotnet run -c Release --project tests/LocalLlm.Evaluation --";

    private readonly StringBuilder text = new();
    private readonly Dictionary<string, Chart> pictures = [];

    /// <summary>A heading; 1 is the page's title.</summary>
    public void Heading(int level, string title)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(level, 1);
        Block($"{new string('#', level)} {title}");
    }

    /// <summary>A paragraph, or any Markdown.</summary>
    public void Text(string markdown) => Block(markdown.Trim());

    /// <summary>A list.</summary>
    public void List(IEnumerable<string> items) => Block(string.Join('\n', items.Select(i => "- " + i)));

    /// <summary>Lines of code or of a command.</summary>
    public void Code(string code, string language = "") => Block($"```{language}\n{code.TrimEnd()}\n```");

    /// <summary>Says that there are no results yet, and which command makes them.</summary>
    public void NoResults(string command)
    {
        Text("No results are stored. This command makes them:");
        Code($"{Program} {command}", "sh");
    }

    /// <summary>A table, its title above it if it has one; columns of figures are aligned to the right.</summary>
    public void Table(Table table)
    {
        if (table.Title.Length > 0)
            Text(table.Title);
        var names = table.Rows.SelectMany(r => r.Keys).Distinct().ToList();
        var rows = table.Rows.Select(r => names.Select(n => Cell(Evaluation.Table.Show(r.GetValueOrDefault(n)))).ToList()).ToList();
        var isFigures = names.Select((_, i) => rows.All(r => r[i].Length == 0 || IsFigure(r[i]))).ToList();
        var lines = new List<string>
        {
            Line(names.Select(Cell)),
            Line(isFigures.Select(f => f ? "---:" : "---")),
        };
        lines.AddRange(rows.Select(Line));
        Block(string.Join('\n', lines));
    }

    /// <summary>A picture, in its light or dark variant by what the reader prefers.</summary>
    /// <param name="name">The file's name without its end: small letters, digits and hyphens.</param>
    /// <param name="chart">What it shows.</param>
    /// <param name="inWords">What a reader who cannot see it should know.</param>
    public void Picture(string name, Chart chart, string inWords)
    {
        if (name.Length == 0 || !name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-'))
            throw new ArgumentException($"A picture's name has small letters, digits and hyphens; got '{name}'.", nameof(name));
        pictures.TryAdd(name, chart); // shown twice, drawn once
        var path = $"{pictureFolder}/{name}";
        Block($"""
            <picture>
              <source media="(prefers-color-scheme: dark)" srcset="{path}-{ChartTheme.Dark.Suffix}.png">
              <img src="{path}-{ChartTheme.Light.Suffix}.png" width="{chart.Size.Width}" alt="{Attribute(inWords)}">
            </picture>
            """);
    }

    /// <summary>A picture's name from what it shows: what is no letter or digit becomes a hyphen.</summary>
    public static string PictureName(params string[] parts)
    {
        var letters = string.Join('-', parts).ToLowerInvariant().Select(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) ? c : '-');
        return string.Join('-', string.Concat(letters).Split('-', StringSplitOptions.RemoveEmptyEntries));
    }

    /// <summary>The page so far.</summary>
    public override string ToString() => text.ToString();

    /// <summary>Draws the pictures, then writes the page.</summary>
    public void Save(string fileName)
    {
        SavePictures();
        File.WriteAllText(Path.Combine(folder, fileName), text.ToString());
    }

    /// <summary>Draws the pictures alone.</summary>
    public void SavePictures()
    {
        var picturePath = Path.Combine(folder, pictureFolder);
        Directory.CreateDirectory(picturePath);
        foreach (var (name, chart) in pictures)
            ChartPainter.Save(chart, Path.Combine(picturePath, name));
    }

    private void Block(string markdown)
    {
        if (text.Length > 0)
            text.Append('\n');
        text.Append(markdown.ReplaceLineEndings("\n")).Append('\n');
    }

    private static string Line(IEnumerable<string> cells) => $"| {string.Join(" | ", cells)} |";

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");

    // 0.25, -3, 40.4 [38, 43], <0.1, –
    private static bool IsFigure(string cell) =>
        char.IsAsciiDigit(cell[0]) || (cell[0] is '-' or '−' or '–' or '<' or '≥' && cell.Any(char.IsAsciiDigit));

    private static string Attribute(string text) => WebUtility.HtmlEncode(text);
}
