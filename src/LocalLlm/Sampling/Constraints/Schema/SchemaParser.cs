using System.Globalization;
using System.Text.Json;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>
/// Reads the schemas of a document that its root reaches, and names all that is wrong or unsupported. What nothing refers to is not read.
/// </summary>
internal sealed class SchemaParser
{
    private const int MaxNesting = 100;
    private const int MaxSchemas = 20_000;

    private static readonly HashSet<string> Annotations =
    [
        "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "$anchor",
        "$defs", "definitions", "contentMediaType", "contentEncoding", "contentSchema", "condition", "optional",
    ];

    private readonly SchemaReferences references;
    private readonly List<string> problems;
    private readonly Dictionary<string, int> ids = [];
    private readonly List<(ParsedSchema Schema, JsonElement Element)> schemas = [];

    public SchemaParser(JsonElement root, List<string> problems)
    {
        (references, this.problems) = (new SchemaReferences(root), problems);
        Add("#", root);
        for (var i = 0; i < schemas.Count; i++)
            Parse(schemas[i].Schema, schemas[i].Element);
    }

    /// <summary>The schema of a number; 0 is the root.</summary>
    public ParsedSchema this[int id] => schemas[id].Schema;

    /// <summary>Adds a schema of exactly one value.</summary>
    public int AddConst(string pointer, JsonElement value)
    {
        var schema = new ParsedSchema(pointer);
        schema.Values.Add([value]);
        schemas.Add((schema, value));
        return schemas.Count - 1;
    }

    private int Add(string pointer, JsonElement element)
    {
        if (ids.TryGetValue(pointer, out var id))
            return id;
        if (pointer.Count(c => c == '/') > MaxNesting)
            throw new ConstraintException("The schema", [$"{pointer[..40]}…: schemas nest deeper than {MaxNesting} steps; move some to $defs"]);
        if (schemas.Count == MaxSchemas)
            throw new ConstraintException("The schema", [$"it has more than {MaxSchemas:N0} subschemas"]);
        ids[pointer] = id = schemas.Count;
        schemas.Add((new ParsedSchema(pointer), element));
        return id;
    }

    private void Parse(ParsedSchema schema, JsonElement element)
    {
        if (element.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            schema.Boolean = element.ValueKind == JsonValueKind.True;
            return;
        }

        if (element.ValueKind != JsonValueKind.Object)
        {
            problems.Add($"{schema.Pointer} is {KeywordReader.Describe(element)}; a schema is an object or a boolean");
            return;
        }

        foreach (var property in element.EnumerateObject())
        {
            var keyword = new KeywordReader($"{schema.Pointer}/{SchemaReferences.Escape(property.Name)}", property.Value, problems);
            try
            {
                if (!TryParseApplicator(schema, property.Name, keyword) && !TryParseAssertion(schema, property.Name, keyword))
                    ParseOther(element, property.Name, keyword);
            }
            catch (ConstraintException e) when (e.Problems.Count > 0)
            {
                problems.Add($"{keyword.Pointer}: {e.Message.TrimEnd('.')}");
            }
        }

        ScalarKeywords.Read(schema, element, problems);
    }

    /// <summary>Reads a keyword that holds schemas or refers to one.</summary>
    private bool TryParseApplicator(ParsedSchema schema, string name, KeywordReader keyword)
    {
        switch (name)
        {
            case "$ref":
                if (keyword.ReadString() is { } reference)
                {
                    if (references.Find(reference, out var problem) is { } target)
                        schema.All.Add(Add(target.Pointer, target.Element));
                    else
                        keyword.Report(problem);
                }

                break;
            case "allOf":
                schema.All.AddRange(AddItems(keyword) ?? []);
                break;
            case "anyOf":
                schema.AnyOf = AddItems(keyword);
                break;
            case "oneOf":
                schema.OneOf = AddItems(keyword);
                break;
            case "not":
                schema.Not = AddSchema(keyword);
                break;
            case "properties":
                foreach (var member in keyword.ReadMembers())
                    schema.Properties[member.Name] = Add($"{keyword.Pointer}/{SchemaReferences.Escape(member.Name)}", member.Value);
                break;
            case "patternProperties":
                foreach (var member in keyword.ReadMembers())
                {
                    schema.PatternProperties.Add((RegexCompiler.Compile(member.Name, anchored: false),
                        Add($"{keyword.Pointer}/{SchemaReferences.Escape(member.Name)}", member.Value)));
                }

                break;
            case "additionalProperties":
                schema.AdditionalProperties = AddSchema(keyword);
                break;
            case "propertyNames":
                schema.PropertyNames = AddSchema(keyword);
                break;
            case "prefixItems":
            case "items" when keyword.Value.ValueKind == JsonValueKind.Array:
                schema.PrefixItems.AddRange(AddItems(keyword) ?? []);
                break;
            case "items":
            case "additionalItems":
                schema.Items = AddSchema(keyword);
                break;
            default:
                return false;
        }

        return true;
    }

    private static bool TryParseAssertion(ParsedSchema schema, string name, KeywordReader keyword)
    {
        switch (name)
        {
            case "type":
                schema.Types = keyword.ReadTypes();
                break;
            case "enum":
                if (keyword.ReadArray() is { } members)
                    schema.Values.Add(members);
                break;
            case "const":
                schema.Values.Add([keyword.Value]);
                break;
            case "nullable":
                schema.IsNullable = keyword.ReadBoolean();
                break;
            case "required":
                schema.Required.UnionWith(keyword.ReadStrings());
                break;
            case "dependentRequired":
                foreach (var member in keyword.ReadMembers())
                {
                    var names = new KeywordReader($"{keyword.Pointer}/{SchemaReferences.Escape(member.Name)}", member.Value, keyword.Problems);
                    schema.DependentRequired.Add((member.Name, names.ReadStrings()));
                }

                break;
            case "minProperties":
                schema.MinProperties = keyword.ReadCount() ?? 0;
                break;
            case "maxProperties":
                schema.MaxProperties = keyword.ReadCount();
                break;
            case "minItems":
                schema.MinItems = keyword.ReadCount() ?? 0;
                break;
            case "maxItems":
                schema.MaxItems = keyword.ReadCount();
                break;
            default:
                return ScalarKeywords.Names.Contains(name);
        }

        return true;
    }

    private static void ParseOther(JsonElement schema, string name, KeywordReader keyword)
    {
        if (Annotations.Contains(name) || name.StartsWith("x-", StringComparison.Ordinal))
            return;
        if (name != "uniqueItems")
            keyword.Report("this keyword is not supported; write the schema without it");
        else if (keyword.ReadBoolean() && !HasAtMostOneItem(schema))
            keyword.Report("items that must differ are supported only where maxItems is at most 1; write the schema without it");
    }

    private static bool HasAtMostOneItem(JsonElement schema) =>
        schema.TryGetProperty("maxItems", out var max) && max.ValueKind == JsonValueKind.Number && max.GetDouble() <= 1;

    private int? AddSchema(KeywordReader keyword) => Add(keyword.Pointer, keyword.Value);

    private List<int>? AddItems(KeywordReader keyword)
    {
        if (keyword.ReadArray() is not { } items)
            return null;
        return [.. items.Select((item, i) => Add(string.Create(CultureInfo.InvariantCulture, $"{keyword.Pointer}/{i}"), item))];
    }
}
