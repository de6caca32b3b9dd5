using System.Globalization;
using System.Text;

namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>The sets of characters that patterns name.</summary>
internal static class UnicodeClasses
{
    /// <summary>\d.</summary>
    public static CharSet Digit { get; } = CharSet.Of(('0', '9'));

    /// <summary>\w.</summary>
    public static CharSet Word { get; } = CharSet.Of(('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z'));

    /// <summary>\s: ECMAScript's white space and line terminators.</summary>
    public static CharSet Space { get; } = CharSet.Of(
        ('\t', '\r'), (' ', ' '), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F),
        (0x3000, 0x3000), (0xFEFF, 0xFEFF));

    /// <summary>The dot: all but line terminators.</summary>
    public static CharSet Dot { get; } = CharSet.Of(('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029)).Complement();

    // Walking all scalar values takes milliseconds: only once, and only if a pattern asks for a category.
    private static readonly Lazy<Dictionary<string, CharSet>> Categories = new(ReadCategories);

    private static readonly Dictionary<UnicodeCategory, (string Short, string Long)> Names = new()
    {
        [UnicodeCategory.UppercaseLetter] = ("Lu", "Uppercase_Letter"),
        [UnicodeCategory.LowercaseLetter] = ("Ll", "Lowercase_Letter"),
        [UnicodeCategory.TitlecaseLetter] = ("Lt", "Titlecase_Letter"),
        [UnicodeCategory.ModifierLetter] = ("Lm", "Modifier_Letter"),
        [UnicodeCategory.OtherLetter] = ("Lo", "Other_Letter"),
        [UnicodeCategory.NonSpacingMark] = ("Mn", "Nonspacing_Mark"),
        [UnicodeCategory.SpacingCombiningMark] = ("Mc", "Spacing_Mark"),
        [UnicodeCategory.EnclosingMark] = ("Me", "Enclosing_Mark"),
        [UnicodeCategory.DecimalDigitNumber] = ("Nd", "Decimal_Number"),
        [UnicodeCategory.LetterNumber] = ("Nl", "Letter_Number"),
        [UnicodeCategory.OtherNumber] = ("No", "Other_Number"),
        [UnicodeCategory.SpaceSeparator] = ("Zs", "Space_Separator"),
        [UnicodeCategory.LineSeparator] = ("Zl", "Line_Separator"),
        [UnicodeCategory.ParagraphSeparator] = ("Zp", "Paragraph_Separator"),
        [UnicodeCategory.Control] = ("Cc", "Control"),
        [UnicodeCategory.Format] = ("Cf", "Format"),
        [UnicodeCategory.PrivateUse] = ("Co", "Private_Use"),
        [UnicodeCategory.OtherNotAssigned] = ("Cn", "Unassigned"),
        [UnicodeCategory.ConnectorPunctuation] = ("Pc", "Connector_Punctuation"),
        [UnicodeCategory.DashPunctuation] = ("Pd", "Dash_Punctuation"),
        [UnicodeCategory.OpenPunctuation] = ("Ps", "Open_Punctuation"),
        [UnicodeCategory.ClosePunctuation] = ("Pe", "Close_Punctuation"),
        [UnicodeCategory.InitialQuotePunctuation] = ("Pi", "Initial_Punctuation"),
        [UnicodeCategory.FinalQuotePunctuation] = ("Pf", "Final_Punctuation"),
        [UnicodeCategory.OtherPunctuation] = ("Po", "Other_Punctuation"),
        [UnicodeCategory.MathSymbol] = ("Sm", "Math_Symbol"),
        [UnicodeCategory.CurrencySymbol] = ("Sc", "Currency_Symbol"),
        [UnicodeCategory.ModifierSymbol] = ("Sk", "Modifier_Symbol"),
        [UnicodeCategory.OtherSymbol] = ("So", "Other_Symbol"),
    };

    private static readonly Dictionary<string, string> Groups = new()
    {
        ["L"] = "Letter",
        ["M"] = "Mark",
        ["N"] = "Number",
        ["Z"] = "Separator",
        ["C"] = "Other",
        ["P"] = "Punctuation",
        ["S"] = "Symbol",
    };

    /// <summary>The set of a Unicode property; null if it is not a general category.</summary>
    public static CharSet? Property(string name)
    {
        var equals = name.IndexOf('=');
        return name switch
        {
            "Any" => CharSet.All,
            "ASCII" => CharSet.Of((0, 0x7F)),
            _ when equals < 0 => Categories.Value.GetValueOrDefault(name),
            _ when name[..equals] is "General_Category" or "gc" => Categories.Value.GetValueOrDefault(name[(equals + 1)..]),
            _ => null,
        };
    }

    private static Dictionary<string, CharSet> ReadCategories()
    {
        var ranges = Names.ToDictionary(n => n.Key, _ => new List<(int, int)>());
        foreach (var (low, high) in CharSet.All.Ranges)
        {
            var start = low;
            for (var value = low; value <= high; value++)
            {
                var category = Rune.GetUnicodeCategory(new Rune(value));
                if (value < high && Rune.GetUnicodeCategory(new Rune(value + 1)) == category)
                    continue;
                ranges[category].Add((start, value));
                start = value + 1;
            }
        }

        var sets = new Dictionary<string, CharSet>();
        foreach (var (category, (shortName, longName)) in Names)
            sets[shortName] = sets[longName] = CharSet.Of(ranges[category]);
        foreach (var (shortName, longName) in Groups)
            sets[shortName] = sets[longName] = CharSet.Union([.. Names.Values.Where(n => n.Short[0] == shortName[0]).Select(n => sets[n.Short])]);
        return sets;
    }
}
