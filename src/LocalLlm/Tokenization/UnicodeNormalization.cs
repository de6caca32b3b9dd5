using System.Globalization;
using System.Text;

namespace LocalLlm.Tokenization;

/// <summary>
/// Unicode's canonical normalization forms C and D. <see cref="string.Normalize()"/> needs ICU: where that is missing, or with
/// InvariantGlobalization, it leaves all but ASCII as it is, and the ids would differ from one machine to the next.
/// </summary>
internal static class UnicodeNormalization
{
    // Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
    private const int SyllableBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28, SyllableCount = LeadCount * VowelCount * TrailCount;

    private static readonly Lazy<Tables> Data = new(() => new Tables());

    /// <summary>Normalizes a text without lone surrogates: to form C when <paramref name="compose"/> is true, else to form D.</summary>
    public static string Normalize(string text, bool compose)
    {
        var tables = Data.Value;
        var scalars = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
            tables.Decompose(rune.Value, scalars);
        Reorder(scalars, tables);
        if (compose)
            Compose(scalars, tables);
        var result = new StringBuilder(text.Length);
        foreach (int scalar in scalars)
        {
            if (scalar <= char.MaxValue)
                result.Append((char)scalar);
            else
                result.Append(char.ConvertFromUtf32(scalar));
        }
        return result.ToString();
    }

    // Puts each run of combining characters into the order of their classes; equal classes keep theirs.
    private static void Reorder(List<int> scalars, Tables tables)
    {
        for (int start = 0; start < scalars.Count; start++)
        {
            if (tables.CombiningClass(scalars[start]) == 0)
                continue;
            int end = start + 1;
            while (end < scalars.Count && tables.CombiningClass(scalars[end]) != 0)
                end++;
            if (end - start > 1)
            {
                int[] ordered = [.. scalars[start..end].OrderBy(tables.CombiningClass)];
                for (int i = 0; i < ordered.Length; i++)
                    scalars[start + i] = ordered[i];
            }
            start = end;
        }
    }

    private static void Compose(List<int> scalars, Tables tables)
    {
        int written = 0;
        int starter = -1;
        int lastClass = 0;
        for (int i = 0; i < scalars.Count; i++)
        {
            int scalar = scalars[i];
            int combiningClass = tables.CombiningClass(scalar);
            // A character meets the starter before it unless one of the same or a higher class stands between.
            bool meetsStarter = starter >= 0 && (written == starter + 1 || (lastClass != 0 && lastClass < combiningClass));
            if (meetsStarter && tables.TryCompose(scalars[starter], scalar, out int composed))
            {
                scalars[starter] = composed;
                continue;
            }
            if (combiningClass == 0)
                starter = written;
            lastClass = combiningClass;
            scalars[written++] = scalar;
        }
        scalars.RemoveRange(written, scalars.Count - written);
    }

    private sealed class Tables
    {
        private readonly Dictionary<int, byte> _classes = [];
        private readonly Dictionary<int, int[]> _decompositions = [];
        private readonly Dictionary<(int First, int Second), int> _compositions = [];

        public Tables()
        {
            foreach (string entry in Entries(UnicodeNormalizationData.CombiningClasses))
            {
                int colon = entry.IndexOf(':', StringComparison.Ordinal);
                string[] range = entry[..colon].Split('-');
                byte combiningClass = byte.Parse(entry.AsSpan(colon + 1), CultureInfo.InvariantCulture);
                for (int scalar = Hex(range[0]); scalar <= Hex(range[^1]); scalar++)
                    _classes.Add(scalar, combiningClass);
            }
            foreach (string entry in Entries(UnicodeNormalizationData.Decompositions))
            {
                bool excluded = entry[0] == '!';
                string[] sides = entry.TrimStart('!').Split('=');
                int[] parts = [.. sides[1].Split('+').Select(Hex)];
                _decompositions.Add(Hex(sides[0]), parts);
                if (parts.Length == 2 && !excluded)
                    _compositions.Add((parts[0], parts[1]), Hex(sides[0]));
            }
        }

        public int CombiningClass(int scalar) => scalar < 0x300 ? 0 : _classes.GetValueOrDefault(scalar);

        public void Decompose(int scalar, List<int> result)
        {
            int syllable = scalar - SyllableBase;
            if ((uint)syllable < SyllableCount)
            {
                result.Add(LeadBase + syllable / (VowelCount * TrailCount));
                result.Add(VowelBase + syllable % (VowelCount * TrailCount) / TrailCount);
                if (syllable % TrailCount != 0)
                    result.Add(TrailBase + syllable % TrailCount);
            }
            else if (scalar >= 0x80 && _decompositions.TryGetValue(scalar, out int[]? parts))
            {
                foreach (int part in parts)
                    Decompose(part, result);
            }
            else
            {
                result.Add(scalar);
            }
        }

        public bool TryCompose(int first, int second, out int composed)
        {
            if ((uint)(first - LeadBase) < LeadCount && (uint)(second - VowelBase) < VowelCount)
            {
                composed = SyllableBase + ((first - LeadBase) * VowelCount + second - VowelBase) * TrailCount;
                return true;
            }
            if ((uint)(first - SyllableBase) < SyllableCount && (first - SyllableBase) % TrailCount == 0
                && second is > TrailBase and < TrailBase + TrailCount)
            {
                composed = first + second - TrailBase;
                return true;
            }
            return _compositions.TryGetValue((first, second), out composed);
        }

        private static string[] Entries(string data) => data.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
    }
}
