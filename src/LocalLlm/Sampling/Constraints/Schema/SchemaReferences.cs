using System.Globalization;
using System.Text.Json;

namespace LocalLlm.Sampling.Constraints.Schema;

/// <summary>Finds what a $ref means in its document.</summary>
internal sealed class SchemaReferences
{
    private readonly JsonElement root;
    private readonly string rootId;
    private readonly Dictionary<string, (string Pointer, JsonElement Element)> anchors = [];

    public SchemaReferences(JsonElement root)
    {
        this.root = root;
        rootId = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("$id", out var id) && id.ValueKind == JsonValueKind.String
            ? id.GetString()!.TrimEnd('#')
            : "";
        CollectAnchors();
    }

    /// <summary>The step of a pointer to a property.</summary>
    public static string Escape(string name) => name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);

    /// <summary>The schema that a reference means, or what is wrong with it.</summary>
    public (string Pointer, JsonElement Element)? Find(string reference, out string problem)
    {
        problem = "";
        var hash = reference.IndexOf('#');
        var document = hash < 0 ? reference : reference[..hash];
        if (document != "" && document != rootId)
        {
            problem = anchors.TryGetValue(reference, out var named)
                ? ""
                : $"refers to '{reference}', another document; put its schemas into this one's $defs";
            return problem == "" ? named : null;
        }

        var fragment = hash < 0 ? "" : Uri.UnescapeDataString(reference[(hash + 1)..]);
        if (fragment != "" && fragment[0] != '/')
        {
            if (anchors.TryGetValue("#" + fragment, out var anchored))
                return anchored;
            problem = $"refers to the anchor '{fragment}', which the document lacks";
            return null;
        }

        var (pointer, element) = ("#", root);
        foreach (var step in fragment.Split('/').Skip(1))
        {
            var name = step.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            if (element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var member))
            {
                element = member;
            }
            else if (element.ValueKind == JsonValueKind.Array && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var index)
                && index < element.GetArrayLength())
            {
                element = element[index];
            }
            else
            {
                problem = $"refers to '{reference}', which the document lacks at '{step}'";
                return null;
            }

            pointer += "/" + Escape(name);
        }

        return (pointer, element);
    }

    private void CollectAnchors()
    {
        var open = new Stack<(string Pointer, JsonElement Element)>([("#", root)]); // not the call stack: a document may be deep
        while (open.TryPop(out var next))
        {
            var (pointer, element) = next;
            if (element.ValueKind == JsonValueKind.Object)
            {
                if (element.TryGetProperty("$anchor", out var anchor) && anchor.ValueKind == JsonValueKind.String)
                    anchors.TryAdd("#" + anchor.GetString(), next);
                if (pointer != "#" && element.TryGetProperty("$id", out var id) && id.ValueKind == JsonValueKind.String)
                    anchors.TryAdd(id.GetString()!, next);
                foreach (var property in element.EnumerateObject())
                    open.Push(($"{pointer}/{Escape(property.Name)}", property.Value));
            }
            else if (element.ValueKind == JsonValueKind.Array)
            {
                var index = 0;
                foreach (var item in element.EnumerateArray())
                    open.Push((string.Create(CultureInfo.InvariantCulture, $"{pointer}/{index++}"), item));
            }
        }
    }
}
