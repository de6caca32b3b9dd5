using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>An object node as the matcher needs it. Its items are the named properties, then the classes.</summary>
internal sealed class ObjectShape
{
    private readonly ByteMachine?[] names;
    private readonly Terminals terminals;
    private readonly PropertySets sets;
    private readonly int requiredCount;
    private readonly Dictionary<int, int> missing = [];

    public ObjectShape(JsonObjectNode node, Terminals terminals, PropertySets sets)
    {
        (Node, this.terminals, this.sets) = (node, terminals, sets);
        names = new ByteMachine?[ItemCount];
        requiredCount = node.Properties.Count(p => p.Required);
        // Bounds that always hold would tell states apart to no purpose.
        Max = node.Max >= node.Properties.Count && node.Classes.Count == 0 ? null : node.Max;
        Min = node.Min <= requiredCount ? 0 : node.Min;
    }

    public JsonObjectNode Node { get; }

    /// <summary>The fewest properties; 0 where the required ones see to it.</summary>
    public int Min { get; }

    /// <summary>The most properties; null where there is no limit, or none that matters.</summary>
    public int? Max { get; }

    public int ItemCount => Node.Properties.Count + Node.Classes.Count;

    public GrammarNode Value(int item) =>
        item < Node.Properties.Count ? Node.Properties[item].Value : Node.Classes[item - Node.Properties.Count].Value;

    /// <summary>The quoted name, in all its spellings.</summary>
    public ByteMachine Name(int item) => names[item] ??= terminals.JsonString(
        item < Node.Properties.Count ? CharDfas.FromStrings([Node.Properties[item].Name]) : Node.Classes[item - Node.Properties.Count].Names);

    /// <summary>Required properties that are not there.</summary>
    public int MissingCount(int done)
    {
        if (requiredCount == 0)
            return 0;
        if (!missing.TryGetValue(done, out var count))
            missing.Add(done, count = Enumerable.Range(0, Node.Properties.Count).Count(i => Node.Properties[i].Required && !sets.Contains(done, i)));
        return count;
    }

    /// <summary>Whether the item can come next and leave room for what is required.</summary>
    public bool MayFollow(int item, int done, int count)
    {
        var named = item < Node.Properties.Count;
        if (named && sets.Contains(done, item))
            return false;
        var needed = MissingCount(done) + (named && Node.Properties[item].Required ? 0 : 1);
        return Max is null || count + needed <= Max;
    }
}
