using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>Brings schemas into normal form, one level of an instance at a time.</summary>
internal sealed class SchemaNormalizer(SchemaParser schemas, List<string> problems)
{
    private const int MaxDepth = 200;
    private const int OverlapDepth = 6;

    private readonly Dictionary<Conjunction, ValueSet> known = [];
    private readonly Dictionary<int, ValueSet> knownSchemas = [];
    private readonly HashSet<int> open = [];

    /// <summary>The values for which all the schemas hold.</summary>
    public ValueSet Normalize(Conjunction conjunction)
    {
        if (conjunction.IsNever)
            return ValueSet.None;
        if (!known.TryGetValue(conjunction, out var set))
        {
            set = conjunction.Schemas.Aggregate(ValueSet.Any, (all, schema) => all.Intersect(Normalize(schema)));
            known[conjunction] = set;
        }

        return set;
    }

    /// <summary>The schemas' places, for errors.</summary>
    public string Describe(Conjunction conjunction) => string.Join(" with ", conjunction.Schemas.Select(s => schemas[s].Pointer));

    /// <summary>Whether it is one schema, which its author meant to allow something.</summary>
    public bool IsMeant(Conjunction conjunction) =>
        conjunction is { IsNever: false, Schemas.Count: 1 } && schemas[conjunction.Schemas[0]].Boolean is null;

    private ValueSet Normalize(int id)
    {
        if (knownSchemas.TryGetValue(id, out var set))
            return set;
        var schema = schemas[id];
        if (open.Count >= MaxDepth || !open.Add(id))
        {
            problems.Add(open.Count >= MaxDepth
                ? $"{schema.Pointer}: references and combinations nest deeper than {MaxDepth}"
                : $"{schema.Pointer} refers to itself without a property or an item between");
            return knownSchemas[id] = ValueSet.Any;
        }

        try
        {
            set = Read(schema);
        }
        catch (ConstraintException e)
        {
            problems.Add($"{schema.Pointer}: {string.Join("; ", e.Problems)}");
            set = ValueSet.Any;
        }

        open.Remove(id);
        return knownSchemas[id] = set;
    }

    private ValueSet Read(ParsedSchema schema)
    {
        if (schema.Boolean is { } boolean)
            return boolean ? ValueSet.Any : ValueSet.None;
        var set = ReadTypes(schema);
        foreach (var values in schema.Values)
            set = set.Intersect(ReadValues(schema.Pointer, values));
        foreach (var part in schema.All)
            set = set.Intersect(Normalize(part));
        if (schema.AnyOf is { } anyOf)
            set = set.Intersect(anyOf.Select(Normalize).Aggregate((a, b) => a.Union(b)));
        if (schema.OneOf is { } oneOf)
            set = set.Intersect(ReadOneOf(schema, oneOf));
        if (schema.Not is { } not)
            set = set.Intersect(ReadNot(schema, not));
        foreach (var (name, required) in schema.DependentRequired)
        {
            if (set.Objects.Count > ValueSet.MaxShapes / 2)
                throw ValueSet.TooManyShapes();
            set = set with { Objects = [.. set.Objects.SelectMany(o => (ObjectShape[])[o.Forbid(name), o.Require([name, .. required])])] };
        }

        return schema.IsNullable ? set with { HasNull = true } : set;
    }

    private ValueSet ReadTypes(ParsedSchema schema)
    {
        var types = schema.Types;
        if (types == JsonTypes.All && schema is { Strings.Count: 0, Numbers.Count: 0, ConstrainsObjects: false, ConstrainsArrays: false })
            return ValueSet.Any;
        var numbers = types.HasFlag(JsonTypes.Number) ? NumberShape.Any : NumberShape.Integer;
        numbers = schema.Numbers.Aggregate(numbers, (a, b) => a.Intersect(b));
        var hasNumbers = (types & (JsonTypes.Number | JsonTypes.Integer)) != 0 && !CharDfas.IsEmpty(numbers.Values);
        return new ValueSet(
            types.HasFlag(JsonTypes.Null),
            types.HasFlag(JsonTypes.Boolean),
            types.HasFlag(JsonTypes.Boolean),
            types.HasFlag(JsonTypes.String) ? schema.Strings.Aggregate(CharDfas.AnyString, CharDfas.Intersect) : CharDfas.None,
            hasNumbers ? [numbers] : [],
            types.HasFlag(JsonTypes.Object) ? [ReadObject(schema)] : [],
            types.HasFlag(JsonTypes.Array) ? [ReadArray(schema)] : []);
    }

    private ObjectShape ReadObject(ParsedSchema schema)
    {
        if (!schema.ConstrainsObjects)
            return ObjectShape.Any;
        var named = schema.Properties.ToDictionary(
            p => p.Key,
            p => Conjunction.Of([p.Value, .. schema.PatternProperties.Where(c => CharDfas.Matches(c.Names, p.Key)).Select(c => c.Schema)]));

        // Other names by the patterns that they match: each pattern cuts every class so far in two.
        List<(CharDfa Names, Conjunction Value)> classes = [(CharDfas.AnyString, Conjunction.Any)];
        foreach (var (names, value) in schema.PatternProperties)
        {
            classes = [.. classes.SelectMany(c => ((CharDfa, Conjunction)[])
            [
                (CharDfas.Intersect(c.Names, names), c.Value.And(Conjunction.Of(value))), (CharDfas.Difference(c.Names, names), c.Value),
            ])];
        }

        var additional = schema.AdditionalProperties is { } other ? Conjunction.Of(other) : Conjunction.Any;
        classes = [.. classes.Select(c => (c.Names, c.Value.Schemas.Count == 0 ? additional : c.Value))];
        if (schema.PropertyNames is { } propertyNames)
        {
            var allowed = Normalize(propertyNames).Strings;
            classes = [.. classes.Select(c => (CharDfas.Intersect(c.Names, allowed), c.Value))];
            foreach (var name in named.Keys.Where(n => !CharDfas.Matches(allowed, n)).ToList())
                named[name] = Conjunction.Never;
        }

        classes.RemoveAll(c => CharDfas.IsEmpty(c.Names) || IsFalse(c.Value));
        return new ObjectShape(named, classes, schema.Required, schema.MinProperties, schema.MaxProperties);
    }

    private bool IsFalse(Conjunction value) => value.Schemas.Any(s => schemas[s].Boolean == false);

    private static ArrayShape ReadArray(ParsedSchema schema) => schema.ConstrainsArrays
        ? new ArrayShape(
            [.. schema.PrefixItems.Select(i => Conjunction.Of(i))],
            schema.Items is { } items ? Conjunction.Of(items) : Conjunction.Any,
            schema.MinItems,
            schema.MaxItems)
        : ArrayShape.Any;

    /// <summary>The values of a list, of which there may be thousands: strings and numbers are a language each.</summary>
    private ValueSet ReadValues(string pointer, IReadOnlyList<JsonElement> values)
    {
        string[] texts = [.. values.Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!)];
        DecimalText[] numbers = [.. values.Where(v => v.ValueKind == JsonValueKind.Number).Select(v => DecimalText.Parse(v.GetRawText())).Distinct()];
        var set = ValueSet.None with
        {
            Strings = CharDfas.FromStrings(texts),
            Numbers = numbers.Length == 0 ? [] : [NumberShape.Of(NumberLanguages.AnyOf(numbers), isCanonical: true, numbers)],
        };
        return values.Where(v => v.ValueKind is not (JsonValueKind.String or JsonValueKind.Number))
            .Aggregate(set, (all, value) => all.Union(ReadValue(pointer, value)));
    }

    private ValueSet ReadValue(string pointer, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Null:
                return ValueSet.None with { HasNull = true };
            case JsonValueKind.True:
                return ValueSet.None with { HasTrue = true };
            case JsonValueKind.False:
                return ValueSet.None with { HasFalse = true };
            case JsonValueKind.Array:
                var items = value.EnumerateArray().Select(i => Conjunction.Of(schemas.AddConst(pointer, i))).ToList();
                return ValueSet.None with { Arrays = [new ArrayShape(items, Conjunction.Never, items.Count, items.Count)] };
            default:
                var members = new Dictionary<string, Conjunction>();
                foreach (var member in value.EnumerateObject())
                    members[member.Name] = Conjunction.Of(schemas.AddConst(pointer, member.Value));
                return ValueSet.None with { Objects = [new ObjectShape(members, [], new HashSet<string>(members.Keys), 0, null)] };
        }
    }

    private ValueSet ReadNot(ParsedSchema schema, int not)
    {
        if (Normalize(not).Complement() is { } rest)
            return rest;
        problems.Add($"{schema.Pointer}/not: only types, and conditions on scalars, can be negated; write what is allowed instead");
        return ValueSet.Any;
    }

    /// <summary>The values of exactly one branch: scalars exactly; objects and arrays only if no two branches can share one.</summary>
    private ValueSet ReadOneOf(ParsedSchema schema, IReadOnlyList<int> branches)
    {
        var sets = branches.Select(Normalize).ToList();
        var result = ValueSet.None;
        for (var i = 0; i < sets.Count; i++)
        {
            for (var j = 0; j < i; j++)
            {
                if (MayShareObjects(sets[j], sets[i]))
                {
                    problems.Add($"{schema.Pointer}/oneOf: one value may be valid against both branch {j} and branch {i}; "
                        + "write anyOf, or tell them apart by a required property with different const values");
                }
            }

            List<ValueSet> others = [.. sets.Where((_, j) => j != i)];
            result = result.Union(sets[i].ExceptScalars(others));
        }

        return result;
    }

    private bool MayShareObjects(ValueSet a, ValueSet b)
    {
        return a.Objects.Any(x => b.Objects.Any(y => !IsSurelyEmpty(x.Intersect(y), OverlapDepth)))
            || a.Arrays.Any(x => b.Arrays.Any(y => !IsSurelyEmpty(x.Intersect(y), OverlapDepth)));
    }

    private bool IsSurelyEmpty(Conjunction value, int depth)
    {
        // What is being read just now counts as possible, which errs on the safe side.
        if (value.IsNever)
            return true;
        if (depth == 0 || value.Schemas.Any(Refers))
            return false;
        var set = Normalize(value);
        return !set.HasNull && !set.HasTrue && !set.HasFalse && CharDfas.IsEmpty(set.Strings) && set.Numbers.Count == 0
            && set.Objects.All(o => IsSurelyEmpty(o, depth - 1)) && set.Arrays.All(a => IsSurelyEmpty(a, depth - 1));
    }

    /// <summary>Whether a schema, or what it combines at the same level, is being read.</summary>
    private bool Refers(int id)
    {
        var (seen, next) = (new HashSet<int>(), new Stack<int>([id]));
        while (next.TryPop(out var schema))
        {
            if (!seen.Add(schema))
                continue;
            if (open.Contains(schema))
                return true;
            var parsed = schemas[schema];
            foreach (var part in (int[])[.. parsed.All, .. parsed.AnyOf ?? [], .. parsed.OneOf ?? [], .. parsed.Not is { } not ? [not] : (int[])[]])
                next.Push(part);
        }

        return false;
    }

    private bool IsSurelyEmpty(ObjectShape shape, int depth) =>
        shape.Max < Math.Max(shape.Min, shape.Required.Count) || shape.Required.Any(r => IsSurelyEmpty(shape.ValueOf(r), depth));

    private bool IsSurelyEmpty(ArrayShape shape, int depth) =>
        shape.Max < shape.Min || Enumerable.Range(0, Math.Min(shape.Min, shape.Prefix.Count + 1)).Any(i => IsSurelyEmpty(shape.ItemAt(i), depth));
}
