using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>The grammar of any JSON value.</summary>
internal static class AnyJson
{
    /// <summary>Any JSON value.</summary>
    public static GrammarNode Value { get; } = Build();

    private static ChoiceNode Build()
    {
        var value = new ReferenceNode();
        var choice = new ChoiceNode(
        [
            new TextNode(CharDfas.Union(NumberLanguages.AnyNumber, CharDfas.FromStrings(["null", "true", "false"]))),
            new JsonStringNode(CharDfas.AnyString),
            new JsonObjectNode([], [new JsonPropertyClass(CharDfas.AnyString, value)], 0, null),
            new JsonArrayNode([], value, 0, null),
        ]);
        value.Target = choice;
        return choice;
    }
}
