using System.Collections.Concurrent;

namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>
/// The languages of JSON Schema's string formats. Where a standard allows more than readers take, they are narrower: upper-case T and Z, years
/// from 0001 (0002 to 9998 with an offset), seven digits of a second's fraction, offsets of 14 hours, no leap seconds; durations below 10
/// million days; base64 whose unused bits are zero; host names of five labels of 24 letters and digits, with single hyphens between; e-mail
/// addresses that begin with a letter or digit and end in a top-level domain; URIs with an authority, urn: and mailto:.
/// </summary>
internal static class StringFormats
{
    private const string MonthDay = @"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))";
    private const string Year = @"(?:\d{3}[1-9]|\d{2}[1-9]\d|\d[1-9]\d{2}|[1-9]\d{3})";
    private const string FourthYear = "(?:0[48]|[2468][048]|[13579][26])";
    private const string LeapDay = $@"(?:\d\d{FourthYear}|{FourthYear}00)-02-29";
    private const string Date = $"(?:{Year}-{MonthDay}|{LeapDay})";
    private const string InnerYear = @"(?:000[2-9]|00[1-9]\d|0[1-9]\d{2}|[1-8]\d{3}|9[0-8]\d{2}|99[0-8]\d|999[0-8])";
    private const string InnerDate = $"(?:{InnerYear}-{MonthDay}|{LeapDay})";
    private const string Clock = @"(?:[01]\d|2[0-3]):[0-5]\d";
    private const string Second = $@"{Clock}:[0-5]\d(?:\.\d{{1,7}})?";
    private const string Offset = @"[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00)";
    private const string Time = $"{Second}(?:Z|{Offset})";
    private const string Byte = @"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)";
    private const string Ipv4 = $@"(?:{Byte}\.){{3}}{Byte}";
    private const string Label = "(?:[A-Za-z0-9]-?){0,23}[A-Za-z0-9]";
    private const string Host = $@"{Label}(?:\.{Label}){{0,4}}";
    private const string Local = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
    private const string Email = $@"(?:[A-Za-z0-9]{Local}{{0,30}}(?:\.{Local}{{1,30}})?@(?:{Label}\.){{1,4}}[A-Za-z]{{2,24}})";
    private const string PathChar = @"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
    private const string Tail = $@"(?:\?(?:{PathChar}|[/?])*)?(?:#(?:{PathChar}|[/?])*)?";
    private const string Port = @"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}))?";
    private const string Url = $@"[A-Za-z][A-Za-z0-9+.-]{{1,30}}://{Host}{Port}(?:/{PathChar}*)*{Tail}";
    private const string Uri = $@"(?:{Url}|urn:[A-Za-z0-9]{{2,31}}:{PathChar}+|mailto:{Email})";
    private const string RelativeUri = $@"(?:(?:/|\.{{1,2}}/)?(?:[A-Za-z0-9._~-]+(?:/{PathChar}+)*/?)?{Tail})";
    private const string DurationTime = @"(?:T(?:\d{1,7}H(?:\d{1,9}M(?:\d{1,9}S)?)?|\d{1,9}M(?:\d{1,9}S)?|\d{1,9}S))";
    private const string DurationDate = @"(?:\d{1,6}D|\d{1,5}M(?:\d{1,6}D)?|\d{1,4}Y(?:\d{1,5}M(?:\d{1,6}D)?)?)";

    private static readonly ConcurrentDictionary<string, CharDfa> Compiled = new();

    private static readonly Dictionary<string, string> Patterns = new()
    {
        ["date"] = Date,
        ["time"] = Time,
        ["date-time"] = $"{Date}T{Second}Z|{InnerDate}T{Second}{Offset}",
        ["duration"] = $@"P(?:\d{{1,6}}W|{DurationDate}{DurationTime}?|{DurationTime})",
        ["uuid"] = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
        ["email"] = Email,
        ["hostname"] = Host,
        ["ipv4"] = Ipv4,
        ["ipv6"] = Ipv6(),
        ["uri"] = Uri,
        ["uri-reference"] = $"{Uri}|{RelativeUri}",
        ["json-pointer"] = "(?:/(?:[^~/]|~[01])*)*",
        ["byte"] = Base64,
        ["base64"] = Base64,
        ["password"] = @"[\s\S]*", // a hint for display
    };

    private const string Base64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?";

    /// <summary>The names of the formats, in order.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Patterns.Keys.Order(StringComparer.Ordinal)];

    /// <summary>The language of a format; null if it is unknown.</summary>
    public static CharDfa? Find(string format) =>
        Patterns.TryGetValue(format, out var pattern) ? Compiled.GetOrAdd(format, _ => RegexCompiler.Compile(pattern, anchored: true)) : null;

    /// <summary>Eight groups, or fewer with "::" for the zeros; the last two may be an IPv4 address.</summary>
    private static string Ipv6()
    {
        const string Group = "[0-9A-Fa-f]{1,4}";
        var forms = new List<string> { $"(?:{Group}:){{7}}{Group}", $"(?:{Group}:){{6}}{Ipv4}" };
        for (var left = 0; left <= 7; left++)
        {
            var before = left == 0 ? "" : $"(?:{Group}:){{{left - 1}}}{Group}";
            forms.Add($"{before}::" + (left == 7 ? "" : $"(?:(?:{Group}:){{0,{6 - left}}}{Group})?"));
            if (left <= 5)
                forms.Add($"{before}::(?:{Group}:){{0,{5 - left}}}{Ipv4}");
        }

        return string.Join('|', forms);
    }
}
