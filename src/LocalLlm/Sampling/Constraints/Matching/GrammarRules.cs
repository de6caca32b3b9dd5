using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>What a grammar must keep to, so that matching ends and never comes to a place from which nothing leads on.</summary>
internal static class GrammarRules
{
    /// <summary>Checks a grammar.</summary>
    /// <param name="root">The grammar.</param>
    /// <param name="logitCount">Token ids are below this.</param>
    /// <exception cref="ArgumentException">It breaks a rule.</exception>
    public static void Check(GrammarNode root, int logitCount)
    {
        var nodes = Reachable(root);
        foreach (var node in nodes)
            CheckNode(node, logitCount);
        var nullable = Nullable(nodes);
        foreach (var repeat in nodes.OfType<RepeatNode>())
            Require(!nullable.Contains(repeat.Item), "a repeated node may stand for nothing, so that it could be repeated without end");
        CheckLeftRecursion(nodes, nullable);
    }

    private static void CheckNode(GrammarNode node, int logitCount)
    {
        switch (node)
        {
            case TextNode text:
                Require(text.Language.Start != CharDfa.Dead, "a text node's language is empty");
                break;
            case JsonStringNode text:
                Require(text.Value.Start != CharDfa.Dead, "a JSON string's language is empty");
                break;
            case TokenNode token:
                Require(token.Id >= 0 && token.Id < logitCount, $"token {token.Id} is none of the model's {logitCount} tokens");
                break;
            case FreeTextNode free:
                Require(!free.StopTexts.Concat(free.BannedTexts).Any(string.IsNullOrEmpty), "a stop or a banned text is empty");
                Require(free.StopIds.All(id => id >= 0 && id < logitCount), $"a stop is none of the model's {logitCount} tokens");
                Require(
                    free.MayEnd || free.StopIds.Count > 0
                        || free.StopTexts.Any(s => !free.BannedTexts.Any(b => s.Contains(b, StringComparison.Ordinal))),
                    "free text can never end: it has no stop that is not banned");
                break;
            case ChoiceNode choice:
                Require(choice.Items.Count > 0, "a choice has nothing to choose from");
                break;
            case ReferenceNode reference:
                Require(reference.Target is not null, "a reference has no target");
                break;
            case RepeatNode repeat:
                Require(repeat.Min >= 0 && repeat.Min <= (repeat.Max ?? int.MaxValue), "a repeat's bounds contradict each other");
                break;
            case JsonArrayNode array:
                var most = Math.Min(array.Max ?? int.MaxValue, array.Item is null ? array.Prefix.Count : int.MaxValue);
                Require(array.Min >= 0 && array.Min <= most, "an array's bounds contradict each other");
                break;
            case JsonObjectNode o:
                var (max, required) = (o.Max ?? int.MaxValue, o.Properties.Count(p => p.Required));
                Require(
                    required <= max && o.Min <= max && (o.Classes.Count > 0 || o.Min <= o.Properties.Count),
                    "an object's bounds and its properties contradict each other");
                Require(o.Classes.All(c => c.Names.Start != CharDfa.Dead), "a class of properties has no names");
                Require(o.Properties.DistinctBy(p => p.Name).Count() == o.Properties.Count, "an object names a property twice");
                break;
        }
    }

    private static List<GrammarNode> Reachable(GrammarNode root)
    {
        var (nodes, seen, open) = (new List<GrammarNode>(), new HashSet<GrammarNode>(), new Stack<GrammarNode>([root]));
        while (open.TryPop(out var node))
        {
            if (!seen.Add(node))
                continue;
            nodes.Add(node);
            foreach (var child in Children(node))
                open.Push(child);
        }

        return nodes;
    }

    private static IEnumerable<GrammarNode> Children(GrammarNode node) => node switch
    {
        SequenceNode sequence => sequence.Items,
        ChoiceNode choice => choice.Items,
        RepeatNode repeat => [repeat.Item, repeat.Separator],
        ReferenceNode { Target: { } target } => [target],
        JsonArrayNode array => array.Item is { } item ? array.Prefix.Append(item) : array.Prefix,
        JsonObjectNode o => o.Properties.Select(p => p.Value).Concat(o.Classes.Select(c => c.Value)),
        _ => [],
    };

    /// <summary>The nodes that may stand for nothing.</summary>
    private static HashSet<GrammarNode> Nullable(List<GrammarNode> nodes)
    {
        var nullable = new HashSet<GrammarNode>();
        bool changed;
        do
        {
            changed = false;
            foreach (var node in nodes)
                changed |= IsNullable(node, nullable) && nullable.Add(node);
        }
        while (changed);
        return nullable;
    }

    private static bool IsNullable(GrammarNode node, HashSet<GrammarNode> nullable) => node switch
    {
        TextNode text => text.Language.IsAccepting(text.Language.Start),
        JsonSpaceNode => true,
        FreeTextNode free => free.MayEnd,
        SequenceNode sequence => sequence.Items.All(nullable.Contains),
        ChoiceNode choice => choice.Items.Any(nullable.Contains),
        RepeatNode repeat => repeat.Min == 0,
        ReferenceNode reference => nullable.Contains(reference.Target!),
        _ => false,
    };

    /// <summary>A node that begins with itself would be entered without end.</summary>
    private static void CheckLeftRecursion(List<GrammarNode> nodes, HashSet<GrammarNode> nullable)
    {
        var (done, path) = (new HashSet<GrammarNode>(), new HashSet<GrammarNode>());
        foreach (var node in nodes.OfType<ReferenceNode>())
            Visit(node);

        void Visit(GrammarNode node)
        {
            Require(!path.Contains(node), "a node begins with itself (left recursion)");
            if (!done.Add(node))
                return;
            path.Add(node);
            foreach (var corner in LeftCorners(node, nullable))
                Visit(corner);
            path.Remove(node);
        }
    }

    private static IEnumerable<GrammarNode> LeftCorners(GrammarNode node, HashSet<GrammarNode> nullable) => node switch
    {
        SequenceNode sequence => sequence.Items.TakeWhile(nullable.Contains).Concat(sequence.Items.SkipWhile(nullable.Contains).Take(1)),
        RepeatNode repeat => [repeat.Item],
        ChoiceNode or ReferenceNode => Children(node),
        _ => [],
    };

    private static void Require(bool holds, string problem)
    {
        if (!holds)
            throw new ArgumentException($"The grammar cannot be used: {problem}.");
    }
}
