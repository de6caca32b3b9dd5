using System.Text;
using System.Text.Json;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>Writes random members of a grammar.</summary>
internal sealed class GrammarSampler
{
    private const int MaxDepth = 5;

    private readonly Random random;
    private readonly Dictionary<GrammarNode, int> heights = [];

    private GrammarSampler(GrammarNode root, Random random)
    {
        this.random = random;
        Visit(root);
        for (var changed = true; changed;)
        {
            changed = false;
            foreach (var node in heights.Keys.ToList())
            {
                var height = HeightOf(node);
                changed |= height != heights[node];
                heights[node] = height;
            }
        }

        heights[root].ShouldBeLessThan(int.MaxValue, "the grammar has no finite member");
    }

    /// <summary>A random member.</summary>
    public static string Sample(GrammarNode node, Random random)
    {
        var text = new StringBuilder();
        new GrammarSampler(node, random).Write(node, text, 0);
        return text.ToString();
    }

    /// <summary>A random text of a language; short, if it can be.</summary>
    public static string Sample(CharDfa language, Random random)
    {
        var text = new StringBuilder();
        var goal = random.Next(12);
        var distances = Distances(language);
        for (var state = language.Start; ;)
        {
            var edges = language.Edges(state).ToArray();
            if (language.IsAccepting(state) && (edges.Length == 0 || text.Length >= goal))
                return text.ToString();
            if (text.Length >= goal)
                edges = [.. edges.Where(e => distances[e.Target] < distances[state])];
            var edge = edges[random.Next(edges.Length)];
            // Of wide ranges mostly what people write.
            var (low, high) = (edge.Low <= ' ' && edge.High >= '~' && random.Next(10) > 0) ? (' ', '~') : (edge.Low, edge.High);
            text.Append(new Rune(random.Next(low, high + 1)));
            state = edge.Target;
        }
    }

    private static int[] Distances(CharDfa language)
    {
        var distances = Enumerable.Range(0, language.StateCount).Select(s => language.IsAccepting(s) ? 0 : int.MaxValue).ToArray();
        for (var changed = true; changed;)
        {
            changed = false;
            for (var state = language.StateCount - 1; state >= 0; state--)
            {
                foreach (var edge in language.Edges(state))
                {
                    if (distances[edge.Target] == int.MaxValue || distances[edge.Target] + 1 >= distances[state])
                        continue;
                    distances[state] = distances[edge.Target] + 1;
                    changed = true;
                }
            }
        }

        return distances;
    }

    private void Visit(GrammarNode node)
    {
        if (!heights.TryAdd(node, int.MaxValue))
            return;
        foreach (var child in Children(node))
            Visit(child);
    }

    private static IEnumerable<GrammarNode> Children(GrammarNode node) => node switch
    {
        ChoiceNode choice => choice.Items,
        ReferenceNode reference => [reference.Target!],
        JsonObjectNode shape => [.. shape.Properties.Select(p => p.Value), .. shape.Classes.Select(c => c.Value)],
        JsonArrayNode shape => [.. shape.Prefix, .. shape.Item is null ? (GrammarNode[])[] : [shape.Item]],
        _ => [],
    };

    private int HeightOf(GrammarNode node) => node switch
    {
        ChoiceNode choice => choice.Items.Min(i => heights[i]),
        ReferenceNode reference => heights[reference.Target!],
        JsonObjectNode shape => Above(shape.Properties.Where(p => p.Required).Select(p => p.Value)),
        JsonArrayNode shape => Above(Enumerable.Range(0, Math.Min(shape.Min, shape.Prefix.Count + 1)).Select(i => ItemAt(shape, i))),
        _ => 0,
    };

    private int Above(IEnumerable<GrammarNode> parts)
    {
        var height = parts.Select(p => heights[p]).DefaultIfEmpty(0).Max();
        return height == int.MaxValue ? height : height + 1;
    }

    private static GrammarNode ItemAt(JsonArrayNode shape, int index) => index < shape.Prefix.Count ? shape.Prefix[index] : shape.Item!;

    private void Write(GrammarNode node, StringBuilder text, int depth)
    {
        switch (node)
        {
            case TextNode language:
                text.Append(Sample(language.Language, random));
                break;
            case JsonStringNode value:
                text.Append(JsonSerializer.Serialize(Sample(value.Value, random)));
                break;
            case ReferenceNode reference:
                Write(reference.Target!, text, depth);
                break;
            case ChoiceNode choice:
                var items = depth < MaxDepth ? choice.Items : [.. choice.Items.Where(i => heights[i] == heights[choice])];
                Write(items[random.Next(items.Count)], text, depth);
                break;
            case JsonObjectNode shape:
                WriteObject(shape, text, depth + 1);
                break;
            case JsonArrayNode shape:
                WriteArray(shape, text, depth + 1);
                break;
            default:
                throw new NotSupportedException($"{node.GetType().Name} is not of JSON");
        }
    }

    private void WriteObject(JsonObjectNode shape, StringBuilder text, int depth)
    {
        var max = shape.Max ?? int.MaxValue;
        var chosen = shape.Properties.Where(p => p.Required).Select(p => (p.Name, p.Value)).ToList();
        foreach (var property in shape.Properties.Where(p => !p.Required).OrderBy(_ => random.Next()))
        {
            if (chosen.Count < max && (chosen.Count < shape.Min || (depth < MaxDepth && random.Next(2) == 0)))
                chosen.Add((property.Name, property.Value));
        }

        for (var tries = 0; shape.Classes.Count > 0 && tries < 100 && chosen.Count < max; tries++)
        {
            if (chosen.Count >= shape.Min && (depth >= MaxDepth || random.Next(3) > 0))
                break;
            var others = shape.Classes[random.Next(shape.Classes.Count)];
            var name = Sample(others.Names, random);
            if (chosen.All(c => c.Name != name))
                chosen.Add((name, others.Value));
        }

        var order = chosen.OrderBy(_ => random.Next()).ToList();
        text.Append('{').Append(Space());
        for (var i = 0; i < order.Count; i++)
        {
            text.Append(i == 0 ? "" : ",").Append(Space()).Append(JsonSerializer.Serialize(order[i].Name)).Append(Space());
            text.Append(':').Append(Space());
            Write(order[i].Value, text, depth);
            text.Append(Space());
        }

        text.Append('}');
    }

    private void WriteArray(JsonArrayNode shape, StringBuilder text, int depth)
    {
        var most = Math.Min(shape.Max ?? int.MaxValue, shape.Item is null ? shape.Prefix.Count : int.MaxValue);
        var count = Math.Min(most, shape.Min + (depth < MaxDepth ? random.Next(4) : 0));
        text.Append('[').Append(Space());
        for (var i = 0; i < count; i++)
        {
            text.Append(i == 0 ? "" : ",").Append(Space());
            Write(ItemAt(shape, i), text, depth);
            text.Append(Space());
        }

        text.Append(']');
    }

    private string Space() => random.Next(4) == 0 ? "\n " : "";
}
