using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>
/// Which of the conjunctions that a schema reaches some finite value satisfies: the least fixed point, so that a value which must hold itself does
/// not exist.
/// </summary>
internal sealed class Inhabitants
{
    private const int MaxConjunctions = 20_000;

    private readonly SchemaNormalizer normalizer;
    private readonly HashSet<Conjunction> inhabited = [];

    public Inhabitants(SchemaNormalizer normalizer, Conjunction root)
    {
        this.normalizer = normalizer;
        var reached = Reach(root);
        var found = -1;
        while (found < inhabited.Count)
        {
            found = inhabited.Count;
            // From the leaves up: those reached last are the deepest.
            for (var i = reached.Count - 1; i >= 0; i--)
            {
                if (!inhabited.Contains(reached[i]) && IsInhabited(normalizer.Normalize(reached[i])))
                    inhabited.Add(reached[i]);
            }
        }
    }

    /// <summary>Whether some value satisfies it.</summary>
    public bool Contains(Conjunction conjunction) => inhabited.Contains(conjunction);

    /// <summary>Whether some object is of the shape.</summary>
    public bool Contains(ObjectShape shape)
    {
        if (shape.Max < Math.Max(shape.Min, shape.Required.Count) || shape.Required.Any(r => !Contains(shape.ValueOf(r))))
            return false;
        var names = shape.Named.Keys.Union(shape.Required).Where(n => Contains(shape.ValueOf(n))).ToList();
        var missing = shape.Min - names.Count;
        if (missing <= 0)
            return true;
        var others = CharDfas.FromStrings([.. shape.Named.Keys.Union(shape.Required)]);
        return shape.Classes.Where(c => Contains(c.Value)).Sum(c => (long)CharDfas.Count(CharDfas.Difference(c.Names, others), missing)) >= missing;
    }

    /// <summary>Whether some array is of the shape.</summary>
    public bool Contains(ArrayShape shape) => shape.Min <= (MaxItems(shape) ?? int.MaxValue);

    /// <summary>The most items that an array of the shape can have.</summary>
    public int? MaxItems(ArrayShape shape)
    {
        for (var i = 0; i < shape.Prefix.Count; i++)
        {
            if (!Contains(shape.Prefix[i]))
                return Counts.Least(i, shape.Max);
        }

        return Contains(shape.Rest) ? shape.Max : Counts.Least(shape.Prefix.Count, shape.Max);
    }

    /// <summary>Why nothing satisfies it: the deepest place that explains it.</summary>
    public string Explain(Conjunction conjunction)
    {
        var seen = new HashSet<Conjunction>();
        while (seen.Add(conjunction) && normalizer.Normalize(conjunction).Objects is [var shape, ..])
        {
            var name = shape.Required.FirstOrDefault(r => !Contains(shape.ValueOf(r)));
            if (name is null)
                break;
            var value = shape.ValueOf(name);
            if (value.IsNever || !normalizer.IsMeant(value))
                return $"{normalizer.Describe(conjunction)}: the property '{name}' is required, but no value of it is allowed";
            if (seen.Contains(value))
                return $"{normalizer.Describe(conjunction)}: the required property '{name}' makes the value hold itself without end";
            conjunction = value;
        }

        return $"{normalizer.Describe(conjunction)}: its keywords contradict each other; no value is valid against it";
    }

    private List<Conjunction> Reach(Conjunction root)
    {
        var (reached, seen) = (new List<Conjunction> { root }, new HashSet<Conjunction> { root });
        for (var i = 0; i < reached.Count; i++)
        {
            var set = normalizer.Normalize(reached[i]);
            var next = set.Objects.SelectMany(o => o.Named.Values.Concat(o.Classes.Select(c => c.Value)).Concat(o.Required.Select(o.ValueOf)))
                .Concat(set.Arrays.SelectMany(a => a.Prefix.Append(a.Rest)));
            reached.AddRange(next.Where(seen.Add));
            if (reached.Count > MaxConjunctions)
            {
                throw new ConstraintException(
                    "The schema", [$"its parts combine in more than {MaxConjunctions:N0} ways; write fewer allOf of anyOf"]);
            }
        }

        return reached;
    }

    private bool IsInhabited(ValueSet set) =>
        set.HasNull || set.HasTrue || set.HasFalse || !CharDfas.IsEmpty(set.Strings) || set.Numbers.Any(n => !CharDfas.IsEmpty(n.Written()))
        || set.Objects.Any(Contains) || set.Arrays.Any(Contains);
}
