using System.Globalization;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>Grammars as JSON schemas give them, and texts of theirs as a model might write them.</summary>
internal static class ConstraintCases
{
    private static readonly string[] Words =
    [
        "the", "delivery", "Zürich", "of", "report", "naïve", "customer", "“quoted”", "said", "東京", "that", "42%", "order", "was", "late", "again", "and", "can’t", "wait", "—",
        "internationally", "C#", "first", "café", "request", "for", "refund", "is", "open", "since", "Monday", "🙂", "please", "answer", "soon", "line\\nbreak", "say \\\"hi\\\"",
    ];

    /// <summary>Name, grammar, and what makes a text of it.</summary>
    public static IEnumerable<(string Name, Func<GrammarNode> Grammar, Func<Random, string> Text)> All =>
    [
        ("flat object", Flat, FlatText),
        ("nested", () => Object(("customer", Flat()), ("items", Array(Object(("sku", Text()), ("count", JsonGrammar.Number)))), ("note", Text())),
            r => $$"""{"customer": {{FlatText(r)}}, "items": [{{Join(r, 4, () => $$"""{"sku": "{{Sentence(r, 2)}}", "count": {{r.Next(100)}}}""")}}], "note": "{{Sentence(r, 8)}}"}"""),
        ("enums", () => Object([.. Enumerable.Range(0, 12).Select(i => ($"field_{i}", Enum(i)))]),
            r => "{" + string.Join(", ", Enumerable.Range(0, 12).Select(i => $"\"field_{i}\": \"{Words[(i + r.Next(6)) % 7]}-{i}\"")) + "}"),
        ("long strings", () => Object(("title", Text()), ("body", Text())), r => $$"""{"title": "{{Sentence(r, 10)}}", "body": "{{Sentence(r, 250)}}"}"""),
        ("maxLength", () => Object(("title", Text(80)), ("body", Text(2000))), r => $$"""{"title": "{{Sentence(r, 5)}}", "body": "{{Sentence(r, 120)}}"}"""),
        ("minLength", () => Object(("title", Text(80, 20)), ("body", Text(400, 100))), r => $$"""{"title": "{{Sentence(r, 8)}}", "body": "{{Sentence(r, 35)}}"}"""),
        ("pattern", () => Object(("code", Letters(400))), r => $$"""{"code": "{{string.Concat(Sentence(r, 60).Where(char.IsAsciiLetter))}}"}"""),
        ("numbers", () => Object(("values", Array(JsonGrammar.Number))),
            r => $$"""{"values": [{{Join(r, 100, () => (r.NextDouble() * 1000).ToString("F3", CultureInfo.InvariantCulture))}}]}"""),
        ("any JSON", () => JsonGrammar.Object, r => $$"""{"a": {{FlatText(r)}}, "list": [1, 2.5, null, true, {{FlatText(r)}}], "text": "{{Sentence(r, 30)}}"}"""),
        ("free text", () => GrammarNode.Choice(new FreeTextNode([], [], true, ["<tool_call>"], []), GrammarNode.Sequence(new FreeTextNode(["<tool_call>\n"], [], false, [], []), Flat())),
            r => $"{Sentence(r, 60)}<tool_call>\n{FlatText(r)}"),
    ];

    private static GrammarNode Flat() => Object(("name", Text()), ("age", JsonGrammar.Number), ("status", Enum(0)), ("city", Text()));

    private static string FlatText(Random random) =>
        $$"""{"name": "{{Sentence(random, 3)}}", "age": {{random.Next(100)}}, "status": "{{Words[random.Next(7)]}}-0", "city": "{{Sentence(random, 2)}}"}""";

    private static JsonObjectNode Object(params (string Name, GrammarNode Value)[] properties) =>
        new([.. properties.Select(p => new JsonProperty(p.Name, p.Value, Required: true))], [], 0, null);

    private static JsonArrayNode Array(GrammarNode item) => new([], item, 0, null);

    private static GrammarNode Enum(int number) =>
        GrammarNode.Choice([.. Words.Take(7).Select(w => new JsonStringNode(CharDfas.FromStrings([$"{w}-{number}"])))]);

    private static GrammarNode Text() => JsonGrammar.String;

    /// <summary>Strings of at most, and at least, so many characters.</summary>
    private static JsonStringNode Text(int most, int least = 0) => new(new CharDfa(
        0,
        [.. Enumerable.Range(0, most + 1).Select(n => n == most ? [] : new[] { new CharEdge(0, 0xD7FF, n + 1), new CharEdge(0xE000, 0x10FFFF, n + 1) })],
        [.. Enumerable.Range(0, most + 1).Select(n => n >= least)]));

    /// <summary>Strings of one to so many letters: [A-Za-z]{1,most}.</summary>
    private static JsonStringNode Letters(int most) => new(new CharDfa(
        0,
        [.. Enumerable.Range(0, most + 1).Select(n => n == most ? [] : new[] { new CharEdge('A', 'Z', n + 1), new CharEdge('a', 'z', n + 1) })],
        [.. Enumerable.Range(0, most + 1).Select(n => n > 0)]));

    private static string Sentence(Random random, int words) => string.Join(' ', Enumerable.Range(0, words).Select(_ => Words[random.Next(Words.Length)]));

    private static string Join(Random random, int most, Func<string> make) => string.Join(", ", Enumerable.Range(0, random.Next(1, most + 1)).Select(_ => make()));
}
