using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LocalLlm.Fuzz;

/// <summary>Random JSON, and JSON that is changed at random.</summary>
internal static class RandomJson
{
    private static readonly string[] Numbers =
        ["0", "-1", "1", "2", "7", "0.5", "-0.0", "1e3", "1e400", "-1e400", "2147483647", "2147483648", "-2147483648", "9223372036854775807",
         "1e-320", "1048576", "123456789012345678901234567890"];

    /// <summary>Some value.</summary>
    /// <param name="random">The chance.</param>
    /// <param name="words">Texts and names that mean something where it is read.</param>
    /// <param name="depth">How deep it may be.</param>
    public static JsonNode? Value(Random random, string[] words, int depth)
    {
        switch (random.Next(depth > 0 ? 8 : 5))
        {
            case 0:
                return null;
            case 1:
                return JsonValue.Create(random.Next(2) == 0);
            case 2:
                return JsonNode.Parse(Numbers[random.Next(Numbers.Length)]);
            case 3:
            case 4:
                return JsonValue.Create(random.Next(3) == 0 ? RandomText.Next(random, 12) : words[random.Next(words.Length)]);
            case 5:
                var items = new JsonArray();
                for (var count = random.Next(4); count > 0; count--)
                    items.Add(Value(random, words, depth - 1));
                return items;
            default:
                var fields = new JsonObject();
                for (var count = random.Next(5); count > 0; count--)
                    fields[words[random.Next(words.Length)]] = Value(random, words, depth - 1);
                return fields;
        }
    }

    /// <summary>Changes a few values of a document in place.</summary>
    public static void Change(Random random, JsonNode document, string[] words)
    {
        for (var count = 1 + random.Next(3); count > 0; count--)
        {
            var containers = Containers(document).Where(c => c is JsonObject { Count: > 0 } or JsonArray { Count: > 0 }).ToList();
            if (containers.Count == 0)
                return;
            switch (containers[random.Next(containers.Count)])
            {
                case JsonObject fields:
                    var name = fields.ElementAt(random.Next(fields.Count)).Key;
                    if (random.Next(5) == 0)
                        fields.Remove(name);
                    else if (random.Next(4) == 0)
                        fields[words[random.Next(words.Length)]] = Value(random, words, 2);
                    else
                        fields[name] = Value(random, words, 2);
                    break;
                case JsonArray items:
                    var index = random.Next(items.Count);
                    if (random.Next(4) == 0)
                        items.RemoveAt(index);
                    else if (random.Next(3) == 0)
                        items.Insert(index, items[random.Next(items.Count)]?.DeepClone());
                    else
                        items[index] = Value(random, words, 2);
                    break;
            }
        }
    }

    /// <summary>Changes bytes: some flipped, some left out, the end cut off.</summary>
    public static byte[] Change(Random random, byte[] bytes)
    {
        var changed = bytes.ToList();
        for (var count = 1 + random.Next(4); count > 0 && changed.Count > 0; count--)
        {
            var at = random.Next(random.Next(2) == 0 ? Math.Min(changed.Count, 200) : changed.Count);
            switch (random.Next(4))
            {
                case 0:
                    changed[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    changed[at] = (byte)random.Next(256);
                    break;
                case 2:
                    changed.RemoveRange(at, Math.Min(random.Next(20), changed.Count - at));
                    break;
                default:
                    if (random.Next(3) == 0)
                        changed.RemoveRange(at, changed.Count - at);
                    else
                        changed.InsertRange(at, changed.GetRange(at, Math.Min(random.Next(20), changed.Count - at)));
                    break;
            }
        }

        return [.. changed];
    }

    /// <summary>A document as UTF-8, lone surrogates escaped.</summary>
    public static byte[] ToBytes(JsonNode? node) => Encoding.UTF8.GetBytes(ToText(node));

    /// <summary>A document as text, lone surrogates escaped.</summary>
    public static string ToText(JsonNode? node)
    {
        var text = new StringBuilder();
        Write(node, text);
        return text.ToString();
    }

    // The library's writer refuses lone surrogates, which files may hold.
    private static void Write(JsonNode? node, StringBuilder text)
    {
        switch (node)
        {
            case JsonObject fields:
                text.Append('{').AppendJoin(',', fields.Select(f => RandomText.Quote(f.Key) + ":" + ToText(f.Value))).Append('}');
                break;
            case JsonArray items:
                text.Append('[').AppendJoin(',', items.Select(ToText)).Append(']');
                break;
            case JsonValue value when value.GetValueKind() == JsonValueKind.String && value.TryGetValue<string>(out var s):
                text.Append(RandomText.Quote(s));
                break;
            default:
                text.Append(node?.ToJsonString() ?? "null");
                break;
        }
    }

    private static IEnumerable<JsonNode> Containers(JsonNode? node) => node switch
    {
        JsonObject fields => fields.SelectMany(f => Containers(f.Value)).Prepend(fields),
        JsonArray { Count: < 100 } items => items.SelectMany(Containers).Prepend(items),
        JsonArray items => [items],
        _ => [],
    };
}
