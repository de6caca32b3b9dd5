using System.Numerics;

namespace LocalLlm.Chat.Jinja;

/// <summary>Reads the arguments of filters, tests and methods, with errors that name the function and the parameter.</summary>
internal static class BuiltinArguments
{
    public static bool IsMissing(object? value) => ReferenceEquals(value, CallArguments.Missing);

    public static object? Or(object? value, object? fallback) => IsMissing(value) ? fallback : value;

    public static bool Bool(object? value, bool fallback) => IsMissing(value) ? fallback : PythonOperators.IsTrue(value);

    /// <summary>An integer, clamped to 32 bits where only the order matters: counts, widths and indexes beyond that are the same.</summary>
    public static int Int(RenderContext context, object? value, int fallback, string what) => value switch
    {
        _ when IsMissing(value) => fallback,
        long i => (int)Math.Clamp(i, int.MinValue, int.MaxValue),
        bool b => b ? 1 : 0,
        BigInteger i => i.Sign < 0 ? int.MinValue : int.MaxValue,
        Undefined undefined => throw context.Error($"{what}: {undefined.Message}"),
        _ => throw context.Error($"{what} must be an integer, not {PythonOperators.TypeName(value)}"),
    };

    /// <summary>A width in characters that a result is padded to, checked before anything is made of it.</summary>
    public static int Width(RenderContext context, object? value, int fallback, string what)
    {
        var width = Int(context, value, fallback, what);
        context.ChargeString(Math.Max(0, width));
        return width;
    }

    public static JinjaText Text(RenderContext context, object? value, string what) => value switch
    {
        JinjaText text => text,
        Undefined undefined => throw context.Error($"{what}: {undefined.Message}"),
        _ => throw context.Error($"{what} must be a string, not {PythonOperators.TypeName(value)}"),
    };
}
