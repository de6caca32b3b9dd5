using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LocalLlm;

/// <summary>
/// An amount of memory: a number of bytes, or a share of what is free on the device when the model has been loaded. Written as <c>1073741824</c>,
/// <c>"2GiB"</c>, <c>"512 MiB"</c>, <c>"1.5GB"</c> or <c>"40%"</c>: KB, MB, GB and TB are powers of 1,000; KiB, MiB, GiB and TiB of 1,024.
/// </summary>
[TypeConverter(typeof(MemoryBudgetConverter))]
public readonly record struct MemoryBudget : ISpanParsable<MemoryBudget>
{
    private const string Forms = "a number of bytes, a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, or a share of the free memory such as 40%";

    private static readonly (string Name, double Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1),
    ];

    /// <summary>Creates an amount in bytes.</summary>
    /// <param name="bytes">The bytes; what is not positive is found wrong where the option is checked.</param>
    public MemoryBudget(long bytes) => Bytes = bytes;

    private MemoryBudget(double share) => Share = share;

    /// <summary>Bytes; null for a share.</summary>
    public long? Bytes { get; }

    /// <summary>The share of the free memory, above 0 up to 1; null for a number of bytes.</summary>
    public double? Share { get; }

    /// <summary>A share of the free memory.</summary>
    /// <param name="share">Above 0 up to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is neither.</exception>
    public static MemoryBudget OfFreeMemory(double share) => share is > 0 and <= 1
        ? new MemoryBudget(share)
        : throw new ArgumentOutOfRangeException(nameof(share), share, "A share of the free memory is above 0 and at most 1.");

    /// <summary>A number of bytes.</summary>
    public static implicit operator MemoryBudget(long bytes) => new(bytes);

    /// <summary>An amount in writing; see <see cref="Parse(string)"/>.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static implicit operator MemoryBudget(string text) => Parse(text);

    /// <summary>Reads an amount; names of units in any case, a decimal point, white space around the number.</summary>
    /// <exception cref="FormatException">It is no amount; the message says what is one.</exception>
    public static MemoryBudget Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text.AsSpan(), out var budget, out var error) ? budget : throw new FormatException(error);
    }

    /// <summary>Reads an amount.</summary>
    /// <returns>False if it is none.</returns>
    public static bool TryParse([NotNullWhen(true)] string? text, out MemoryBudget budget)
    {
        budget = default;
        return text is not null && TryParse(text.AsSpan(), out budget, out _);
    }

    /// <inheritdoc/>
    static MemoryBudget IParsable<MemoryBudget>.Parse(string s, IFormatProvider? provider) => Parse(s);

    /// <inheritdoc/>
    static bool IParsable<MemoryBudget>.TryParse([NotNullWhen(true)] string? s, IFormatProvider? provider, out MemoryBudget result) => TryParse(s, out result);

    /// <inheritdoc/>
    static MemoryBudget ISpanParsable<MemoryBudget>.Parse(ReadOnlySpan<char> s, IFormatProvider? provider) =>
        TryParse(s, out var budget, out var error) ? budget : throw new FormatException(error);

    /// <inheritdoc/>
    static bool ISpanParsable<MemoryBudget>.TryParse(ReadOnlySpan<char> s, IFormatProvider? provider, out MemoryBudget result) => TryParse(s, out result, out _);

    /// <summary>The amount in writing, as <see cref="Parse(string)"/> reads it.</summary>
    public override string ToString() => Share is { } share
        ? (share * 100).ToString("0.############", CultureInfo.InvariantCulture) + "%"
        : (Bytes ?? 0).ToString(CultureInfo.InvariantCulture);

    private static bool TryParse(ReadOnlySpan<char> text, out MemoryBudget budget, out string error)
    {
        (budget, error) = (default, $"'{text}' is no amount of memory; write {Forms}.");
        var number = text.Trim();
        if (number.EndsWith("%", StringComparison.Ordinal))
        {
            if (!TryNumber(number[..^1], out var percent))
                return false;
            error = $"'{text}' is no share of the free memory: it must be above 0% and at most 100%.";
            if (percent is not (> 0 and <= 100))
                return false;
            budget = new MemoryBudget(percent / 100);
            return true;
        }

        if (long.TryParse(number, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
        {
            error = $"'{text}' is no amount of memory: it must be above 0.";
            budget = new MemoryBudget(whole);
            return whole > 0;
        }

        foreach (var (name, size) in Units)
        {
            if (!number.EndsWith(name, StringComparison.OrdinalIgnoreCase))
                continue;
            if (!TryNumber(number[..^name.Length], out var count))
                return false;
            error = $"'{text}' is no amount of memory: it must be at least 1 byte and less than 8 EiB.";
            if (count * size is not (>= 1 and < long.MaxValue))
                return false;
            budget = new MemoryBudget((long)(count * size));
            return true;
        }

        return false;
    }

    private static bool TryNumber(ReadOnlySpan<char> text, out double number) =>
        double.TryParse(text.Trim(), NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number)
        && double.IsFinite(number);

    /// <summary>Lets configuration be bound to the type.</summary>
    private sealed class MemoryBudgetConverter : TypeConverter
    {
        public override bool CanConvertFrom(ITypeDescriptorContext? context, Type sourceType) => sourceType == typeof(string) || base.CanConvertFrom(context, sourceType);

        public override object? ConvertFrom(ITypeDescriptorContext? context, CultureInfo? culture, object value) =>
            value is string text ? Parse(text) : base.ConvertFrom(context, culture, value);
    }
}
