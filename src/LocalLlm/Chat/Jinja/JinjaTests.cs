using System.Collections.Frozen;
using System.Numerics;
using System.Text;

namespace LocalLlm.Chat.Jinja;

internal delegate bool TestBody(RenderContext context, object? value, CallArguments arguments);

/// <summary>The tests of Jinja2: what may follow <c>is</c>.</summary>
internal static class JinjaTests
{
    private static readonly FrozenDictionary<string, TestBody> All = new Dictionary<string, TestBody>
    {
        ["defined"] = (_, v, _) => v is not Undefined,
        ["undefined"] = (_, v, _) => v is Undefined,
        ["none"] = (_, v, _) => v is null,
        ["true"] = (_, v, _) => v is true,
        ["false"] = (_, v, _) => v is false,
        ["boolean"] = (_, v, _) => v is bool,
        ["integer"] = (_, v, _) => v is long or BigInteger,
        ["float"] = (_, v, _) => v is double,
        ["number"] = (_, v, _) => PythonOperators.IsNumber(v),
        ["string"] = (_, v, _) => v is JinjaText,
        ["mapping"] = (_, v, _) => v is JinjaDict,
        ["sequence"] = (_, v, _) => v is JinjaText or JinjaList or JinjaTuple or JinjaDict or JinjaRange or Undefined,
        ["iterable"] = (_, v, _) => v is JinjaText or IJinjaIterable or Undefined,
        ["callable"] = (_, v, _) => v is JinjaCallable or Undefined,
        ["escaped"] = (_, v, _) => v is JinjaText { IsMarkup: true },
        ["sameas"] = (c, v, a) => AreSame(v, a.Bind(c, "sameas", "other")[0]),
        ["odd"] = (c, v, a) => PythonOperators.AreEqual(c, PythonOperators.Modulo(c, v, 2L), 1L),
        ["even"] = (c, v, a) => PythonOperators.AreEqual(c, PythonOperators.Modulo(c, v, 2L), 0L),
        ["divisibleby"] = (c, v, a) => PythonOperators.AreEqual(c, PythonOperators.Modulo(c, v, a.Bind(c, "divisibleby", "num")[0]), 0L),
        ["lower"] = (c, v, _) => HasCase(PythonText.Str(c, v).Value, Rune.IsLower, Rune.IsUpper),
        ["upper"] = (c, v, _) => HasCase(PythonText.Str(c, v).Value, Rune.IsUpper, Rune.IsLower),
        ["in"] = (c, v, a) => PythonOperators.Contains(c, a.Bind(c, "in", "seq")[0], v),
        ["filter"] = (_, v, _) => v is JinjaText name && JinjaFilters.Exists(name.Value),
        ["test"] = (_, v, _) => v is JinjaText name && Exists(name.Value),
        ["=="] = Comparing("=="),
        ["eq"] = Comparing("=="),
        ["equalto"] = Comparing("=="),
        ["!="] = Comparing("!="),
        ["ne"] = Comparing("!="),
        ["<"] = Comparing("<"),
        ["lt"] = Comparing("<"),
        ["lessthan"] = Comparing("<"),
        ["<="] = Comparing("<="),
        ["le"] = Comparing("<="),
        [">"] = Comparing(">"),
        ["gt"] = Comparing(">"),
        ["greaterthan"] = Comparing(">"),
        [">="] = Comparing(">="),
        ["ge"] = Comparing(">="),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    public static bool Exists(string name) => All.ContainsKey(name);

    public static bool Holds(RenderContext context, string name, object? value, CallArguments arguments) => All.TryGetValue(name, out var body)
        ? body(context, value, arguments)
        : throw context.Error($"There is no test '{name}'");

    private static TestBody Comparing(string symbol) => (c, v, a) => Comparison.Holds(c, symbol, v, a.Bind(c, symbol, "other")[0]);

    private static bool AreSame(object? value, object? other) => (value, other) switch
    {
        (bool a, bool b) => a == b,
        (long a, long b) => a == b,
        (JinjaText a, JinjaText b) => a.Equals(b),
        _ => ReferenceEquals(value, other),
    };

    private static bool HasCase(string text, Func<Rune, bool> wanted, Func<Rune, bool> unwanted) =>
        text.EnumerateRunes().Any(wanted) && !text.EnumerateRunes().Any(unwanted);
}
