using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>What the properties of an object must be: named ones, and classes of all other names; a name in neither is not allowed.</summary>
/// <param name="Named">Properties by name; a class says nothing of them.</param>
/// <param name="Classes">Languages of names, which do not overlap; they may hold names that are named.</param>
/// <param name="Required">Names that must be there.</param>
/// <param name="Min">The fewest properties.</param>
/// <param name="Max">The most properties; null for no limit.</param>
internal sealed record ObjectShape(
    IReadOnlyDictionary<string, Conjunction> Named,
    IReadOnlyList<(CharDfa Names, Conjunction Value)> Classes,
    IReadOnlySet<string> Required,
    int Min,
    int? Max)
{
    /// <summary>Any object.</summary>
    public static ObjectShape Any { get; } =
        new(new Dictionary<string, Conjunction>(), [(CharDfas.AnyString, Conjunction.Any)], new HashSet<string>(), 0, null);

    /// <summary>What a property must be.</summary>
    public Conjunction ValueOf(string name) =>
        Named.TryGetValue(name, out var value)
            ? value
            : Classes.Where(c => CharDfas.Matches(c.Names, name)).Select(c => c.Value).FirstOrDefault(Conjunction.Never);

    /// <summary>What is in both.</summary>
    public ObjectShape Intersect(ObjectShape other)
    {
        if (ReferenceEquals(this, Any))
            return other;
        if (ReferenceEquals(other, Any))
            return this;
        var named = Named.Keys.Union(other.Named.Keys).ToDictionary(n => n, n => ValueOf(n).And(other.ValueOf(n)));
        var classes = from a in Classes
                      from b in other.Classes
                      let names = CharDfas.Intersect(a.Names, b.Names)
                      where !CharDfas.IsEmpty(names)
                      select (names, a.Value.And(b.Value));
        return new ObjectShape(
            named, [.. classes], new HashSet<string>(Required.Union(other.Required)), Math.Max(Min, other.Min), Counts.Least(Max, other.Max));
    }

    /// <summary>This, and the names must be there.</summary>
    public ObjectShape Require(IEnumerable<string> names) => this with { Required = new HashSet<string>(Required.Union(names)) };

    /// <summary>This, and the name must not be there.</summary>
    public ObjectShape Forbid(string name) => this with { Named = new Dictionary<string, Conjunction>(Named) { [name] = Conjunction.Never } };
}
