using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LocalLlm.Chat;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Sampling.Constraints.Answers;
using LocalLlm.Tokenization;

namespace LocalLlm.Tests.Sampling.Constraints.Answers;

/// <summary>Answers of a model that knows nothing, under the grammar and read by the parser: with real tokens and hundreds of real functions.</summary>
public class RandomAnswerTests
{
    private static readonly ReasoningMarkers Think = ReasoningMarkers.Think;

    public static TheoryData<ToolCallFormat, string> Formats => new()
    {
        { ToolCallFormat.Hermes, "<tool_call>" },
        { ToolCallFormat.Llama3Json, "<|python_tag|>" },
        { ToolCallFormat.Mistral, "[TOOL_CALLS]" },
        { ToolCallFormat.Mistral, "[TOOL_CALLS][ARGS]" },
        { ToolCallFormat.Phi4, "<|tool_call|>" },
        { ToolCallFormat.Phi4, "functools[" },
    };

    [Theory]
    [MemberData(nameof(Formats))]
    public void Required_AnyFunction_IsReadAsAValidCall(ToolCallFormat format, string template)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Require("tokenizers", "qwen2.5-0.5b-instruct"));
        var tools = Functions();
        tools.Count.ShouldBeGreaterThan(300);
        var constraints = new AnswerConstraints(tokenizer, new HashSet<int> { tokenizer.EosId!.Value }, tokenizer.VocabularySize);
        var random = new Random(7);
        foreach (var group in tools.Chunk(60))
        {
            var choice = random.Next(3) switch
            {
                0 => ToolChoice.Function(group[random.Next(group.Length)].Name),
                _ => ToolChoice.Required,
            };
            var form = new AnswerForm { Spelling = CallSpellings.Of(format, template), Tools = group, Choice = choice, AllowParallelCalls = random.Next(2) == 0 };
            if (Generate(constraints.Start(form)!, tokenizer, random, maxTokens: 150) is not { } text)
                continue;

            var parser = new ChatOutputParser(format, false, Think, group.Select(t => t.Name).ToHashSet());
            List<GenerationUpdate> updates = [.. parser.Add(text), .. parser.Finish()];

            updates.ShouldNotBeEmpty();
            updates.ShouldAllBe(u => u is ToolCallUpdate, text);
            var calls = updates.Cast<ToolCallUpdate>().Select(u => u.Call).ToList();
            if (!form.AllowParallelCalls)
                calls.Count.ShouldBe(1, text);
            foreach (var call in calls)
            {
                if (choice.FunctionName is { } only)
                    call.Name.ShouldBe(only);
                Check(call, group.Single(t => t.Name == call.Name).Parameters);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Auto_AnyAnswer_HoldsNoBrokenCall(ToolCallFormat format, string template)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Require("tokenizers", "qwen2.5-0.5b-instruct"));
        var tools = Functions().Take(5).ToArray();
        var constraints = new AnswerConstraints(tokenizer, new HashSet<int> { tokenizer.EosId!.Value }, tokenizer.VocabularySize);
        var random = new Random(3);
        var opener = ToolCallFormats.Openers(format).Anywhere[0];
        var made = 0;
        for (var run = 0; run < 12; run++)
        {
            var form = new AnswerForm { Spelling = CallSpellings.Of(format, template), Tools = tools, Choice = run % 4 == 0 ? ToolChoice.None : ToolChoice.Auto };
            var text = Generate(constraints.Start(form)!, tokenizer, random, maxTokens: 150, start: run % 4 == 0 || template == "functools[" ? "" : $"I look. {opener}");
            if (text is null)
                continue;

            var names = form.Choice.MayCall ? tools.Select(t => t.Name).ToHashSet() : [];
            var parser = new ChatOutputParser(format, false, Think, names);
            List<GenerationUpdate> updates = [.. parser.Add(text), .. parser.Finish()];

            string.Concat(updates.OfType<TextDelta>().Select(d => d.Text)).ShouldNotContain(opener);
            foreach (var call in updates.OfType<ToolCallUpdate>().Select(u => u.Call))
                Check(call, tools.Single(t => t.Name == call.Name).Parameters);
            made += updates.OfType<ToolCallUpdate>().Count();
        }

        if (template != "functools[")
            made.ShouldBeGreaterThan(0);
    }

    /// <summary>A whole answer of random tokens, those that come to an end more likely; null if it is none after so many tokens.</summary>
    private static string? Generate(TokenConstraint constraint, TextTokenizer tokenizer, Random random, int maxTokens, string start = "")
    {
        var text = new StringBuilder();
        var bytes = new List<byte>();
        var given = new Queue<int>(start.Length > 0 ? tokenizer.EncodeWithControlTokens(start) : []);
        var logits = new float[tokenizer.VocabularySize];
        string[] endTexts = ["\"", "}", "]", "\"}", "]}", "}}", "\",", "],", "},"];
        int[] ends = [tokenizer.EosId!.Value, .. endTexts.Where(t => tokenizer.TryGetId(t, out _)).Select(t => tokenizer.TryGetId(t, out var id) ? id : 0)];
        for (var count = 0; count < maxTokens; count++)
        {
            int id;
            if (given.Count > 0)
            {
                id = given.Dequeue();
            }
            else
            {
                Array.Clear(logits);
                constraint.Mask(logits);
                int[] open = [.. ends.Where(end => logits[end] == 0)];
                id = open.Length > 0 && random.Next(4) > 0 ? open[random.Next(open.Length)] : random.Next(logits.Length);
                while (logits[id] != 0)
                    id = (id + 1) % logits.Length;
            }

            constraint.Accept(id);
            if (id == tokenizer.EosId)
                return Encoding.UTF8.GetString([.. bytes]);
            bytes.AddRange(tokenizer.IsAdded(id) ? Encoding.UTF8.GetBytes(tokenizer.TokenText(id)) : tokenizer.TokenBytes(id).ToArray());
        }

        return null;
    }

    /// <summary>What these schemas say: types, required properties, values to choose from, and no properties that are not named.</summary>
    private static void Check(ToolCall call, JsonElement schema) => Check(JsonElement.Parse(call.ArgumentsJson), schema, call.ArgumentsJson, isTop: true);

    private static void Check(JsonElement value, JsonElement schema, string context, bool isTop = false)
    {
        if (schema.TryGetProperty("enum", out var options))
            options.EnumerateArray().ShouldContain(o => JsonElement.DeepEquals(o, value), context);
        if (!schema.TryGetProperty("type", out var type))
            return;
        (type.GetString() switch
        {
            "object" => value.ValueKind == JsonValueKind.Object,
            "array" => value.ValueKind == JsonValueKind.Array,
            "string" => value.ValueKind == JsonValueKind.String,
            "integer" => value.ValueKind == JsonValueKind.Number,
            "number" => value.ValueKind == JsonValueKind.Number,
            "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
            _ => true,
        }).ShouldBeTrue($"{value} is no {type}: {context}");
        if (value.ValueKind == JsonValueKind.Array && schema.TryGetProperty("items", out var items))
        {
            foreach (var item in value.EnumerateArray())
                Check(item, items, context);
        }

        if (value.ValueKind != JsonValueKind.Object || !schema.TryGetProperty("properties", out var properties))
            return;
        if (schema.TryGetProperty("required", out var required))
            required.EnumerateArray().ShouldAllBe(r => value.EnumerateObject().Any(p => p.NameEquals(r.GetString())), context);
        foreach (var property in value.EnumerateObject())
        {
            if (properties.TryGetProperty(property.Name, out var of))
                Check(property.Value, of, context);
            else
                isTop.ShouldBeFalse($"{property.Name} is not named: {context}");
        }
    }

    private static List<ToolDefinition> Functions()
    {
        string[] files = ["BFCL_v4_simple_python.json", "BFCL_v4_parallel.json", "BFCL_v4_irrelevance.json"];
        return files.SelectMany(f => File.ReadLines(SharedData.Require("functions", f)))
            .SelectMany(line => JsonNode.Parse(line)!["function"]!.AsArray())
            .Select(f => new ToolDefinition((string)f!["name"]!, (string)f["description"]!, JsonSerializer.SerializeToElement(Standard(f["parameters"]!))))
            .DistinctBy(t => t.Name).ToList();
    }

    /// <summary>The collection names types as Python does.</summary>
    private static JsonNode Standard(JsonNode schema)
    {
        var copy = schema.DeepClone();
        foreach (var node in Nodes(copy).OfType<JsonObject>().ToList())
        {
            if (node["type"] is JsonValue type && type.TryGetValue<string>(out var name))
                node["type"] = name switch { "dict" => "object", "float" => "number", "tuple" => "array", "any" => "string", _ => name };
            node.Remove("default");
            node.Remove("format");
            node.Remove("optional");
        }

        return copy;
    }

    private static IEnumerable<JsonNode> Nodes(JsonNode node) => node switch
    {
        JsonObject o => o.Select(p => p.Value).OfType<JsonNode>().SelectMany(Nodes).Prepend(o),
        JsonArray a => a.OfType<JsonNode>().SelectMany(Nodes).Prepend(a),
        _ => [node],
    };
}
