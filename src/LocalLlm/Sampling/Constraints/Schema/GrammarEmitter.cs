using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>From schemas in normal form to grammar nodes; a conjunction of schemas is one node, wherever it stands.</summary>
internal sealed class GrammarEmitter(SchemaNormalizer normalizer, Inhabitants inhabitants, List<string> problems)
{
    private readonly Dictionary<Conjunction, GrammarNode> nodes = [];

    /// <summary>The node of a conjunction that some value satisfies.</summary>
    public GrammarNode Emit(Conjunction conjunction)
    {
        if (nodes.TryGetValue(conjunction, out var node))
            return node;
        var set = normalizer.Normalize(conjunction);
        if (ReferenceEquals(set, ValueSet.Any))
            return nodes[conjunction] = JsonGrammar.Value;
        var reference = new ReferenceNode(); // what a part of it sees that recurs
        nodes[conjunction] = reference;
        reference.Target = node = Emit(set);
        return nodes[conjunction] = node;
    }

    private GrammarNode Emit(ValueSet set)
    {
        var choices = new List<GrammarNode>();
        (bool IsIn, string Text)[] literals = [(set.HasNull, "null"), (set.HasTrue, "true"), (set.HasFalse, "false")];
        var words = CharDfas.FromStrings([.. literals.Where(l => l.IsIn).Select(l => l.Text)]);
        var text = CharDfas.Union([words, .. set.Numbers.Select(n => n.Written())]);
        if (!CharDfas.IsEmpty(text))
            choices.Add(new TextNode(text));
        if (!CharDfas.IsEmpty(set.Strings))
            choices.Add(new JsonStringNode(set.Strings));
        choices.AddRange(set.Objects.Where(inhabitants.Contains).Select(Emit));
        choices.AddRange(set.Arrays.Where(inhabitants.Contains).Select(Emit));
        return GrammarNode.Choice(choices);
    }

    private GrammarNode Emit(ObjectShape shape)
    {
        string[] names = [.. shape.Named.Keys.Union(shape.Required)];
        var properties = from name in names
                         where IsPossible(shape.ValueOf(name))
                         select new JsonProperty(name, Emit(shape.ValueOf(name)), shape.Required.Contains(name));
        var taken = CharDfas.FromStrings(names);
        var classes = from c in shape.Classes
                      where IsPossible(c.Value)
                      let free = CharDfas.Difference(c.Names, taken)
                      where !CharDfas.IsEmpty(free)
                      select new JsonPropertyClass(free, Emit(c.Value));
        return new JsonObjectNode([.. properties], [.. classes], shape.Min, shape.Max);
    }

    private GrammarNode Emit(ArrayShape shape)
    {
        var max = inhabitants.MaxItems(shape);
        var prefix = shape.Prefix.Take(max ?? int.MaxValue).Select(Emit).ToList();
        foreach (var item in shape.Prefix.Append(shape.Rest))
            IsPossible(item);
        return new JsonArrayNode(prefix, max > prefix.Count || max is null ? Emit(shape.Rest) : null, shape.Min, max);
    }

    /// <summary>Whether a part can be there; a schema which its author meant to allow something, and that allows nothing, is a problem.</summary>
    private bool IsPossible(Conjunction part)
    {
        if (inhabitants.Contains(part))
            return true;
        if (normalizer.IsMeant(part))
        {
            var problem = inhabitants.Explain(part);
            if (!problems.Contains(problem))
                problems.Add(problem);
        }

        return false;
    }
}
