using System.Globalization;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>
/// Schemas that must hold together, by their numbers. What a property or an item must be; looked into only when needed, so that schemas can recur.
/// </summary>
internal sealed class Conjunction : IEquatable<Conjunction>
{
    private const int Impossible = -1;

    private readonly string key;

    private Conjunction(int[] schemas) => (Schemas, key) = (schemas, string.Join(',', schemas.Select(s => s.ToString(CultureInfo.InvariantCulture))));

    /// <summary>No condition: any value.</summary>
    public static Conjunction Any { get; } = new([]);

    /// <summary>No value.</summary>
    public static Conjunction Never { get; } = new([Impossible]);

    /// <summary>The schemas, in order of their numbers.</summary>
    public IReadOnlyList<int> Schemas { get; }

    public bool IsNever => ReferenceEquals(this, Never);

    public static Conjunction Of(params IEnumerable<int> schemas) => new([.. schemas.Distinct().Order()]);

    public Conjunction And(Conjunction other) =>
        IsNever || other.IsNever ? Never
        : Schemas.Count == 0 || key == other.key ? other
        : other.Schemas.Count == 0 ? this
        : Of(Schemas.Concat(other.Schemas));

    public bool Equals(Conjunction? other) => other is not null && key == other.key;

    public override bool Equals(object? obj) => Equals(obj as Conjunction);

    public override int GetHashCode() => key.GetHashCode(StringComparison.Ordinal);
}
