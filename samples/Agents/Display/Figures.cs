using System.Globalization;

namespace Agents.Display;

/// <summary>Numbers for people.</summary>
internal static class Figures
{
    /// <summary>Thousands apart: 12,345.</summary>
    public static string Count(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    public static string Bytes(long bytes) => bytes switch
    {
        < 1024 => Text($"{bytes} B"),
        < 1024 * 1024 => Text($"{bytes / 1024.0:N0} KiB"),
        < 1024L * 1024 * 1024 => Text($"{bytes / 1048576.0:N2} MiB"),
        _ => Text($"{bytes / 1073741824.0:N2} GiB"),
    };

    public static string Milliseconds(double milliseconds) =>
        milliseconds < 10_000 ? Text($"{milliseconds:N0} ms") : Text($"{milliseconds / 1000:N1} s");

    public static string Rate(double perSecond) => perSecond <= 0 ? "-" : perSecond < 10 ? Text($"{perSecond:N1}") : Text($"{perSecond:N0}");

    public static string Ratio(double ratio) => Text($"{ratio:N1}");

    public static string Percent(long part, long whole) => whole == 0 ? "" : Text($"{100.0 * part / whole:0.#} %");

    public static string Of(long part, long whole) => $"{Count(part)} of {Count(whole)}";

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
