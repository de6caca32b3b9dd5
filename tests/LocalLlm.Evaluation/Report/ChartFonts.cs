using ScottPlot;
using SkiaSharp;

namespace LocalLlm.Evaluation.Report;

/// <summary>
/// The font of pictures: the first of a few plain ones that this machine has, so that pictures of different machines look alike.
/// </summary>
internal static class ChartFonts
{
    private static readonly string[] Preferred = ["DejaVu Sans", "Noto Sans", "Liberation Sans", "Arial", "Helvetica"];

    /// <summary>Makes it ScottPlot's font.</summary>
    /// <exception cref="LocalLlmException">The machine has no font.</exception>
    public static void Choose()
    {
        var families = SKFontManager.Default.FontFamilies.ToHashSet(StringComparer.OrdinalIgnoreCase);
        var name = Preferred.FirstOrDefault(families.Contains) ?? families.Where(HasLetters).Order(StringComparer.Ordinal).FirstOrDefault();
        Fonts.Default = name ?? throw new LocalLlmException(
            $"The report's pictures need a font; this machine has {families.Count} font families and none with Latin letters. "
            + "Install one, for instance the package fonts-dejavu-core.");
        Fonts.Sans = name;
    }

    private static bool HasLetters(string family)
    {
        using var face = SKTypeface.FromFamilyName(family);
        return face is not null && face.ContainsGlyph('A') && face.ContainsGlyph('0');
    }
}
