using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm;
using Shouldly;
using SK.Connectors.LogQuant.Mapping;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.Mapping;

/// <summary>A call in the history must be shown as the model wrote it, or its tokens and the KV cache behind them are lost.</summary>
public sealed class CallArgumentsTests
{
    private static readonly Gen<JsonNode?> Value = Gen.OneOf<JsonNode?>(
        Gen.String.Select(s => (JsonNode?)JsonValue.Create(s)),
        Gen.Int.Select(i => (JsonNode?)JsonValue.Create(i)),
        Gen.Double[-1e6, 1e6].Select(d => (JsonNode?)JsonValue.Create(d)),
        Gen.Bool.Select(b => (JsonNode?)JsonValue.Create(b)),
        Gen.Int.Array[0, 3].Select(a => (JsonNode?)new JsonArray([.. a.Select(i => (JsonNode?)JsonValue.Create(i))])),
        Gen.String.Select(s => (JsonNode?)new JsonObject { ["inner"] = s }),
        Gen.Const((JsonNode?)null));

    private static readonly Gen<string> Json = Gen.Select(Gen.Select(Gen.String, Value).Array[0, 5], Gen.Bool).Select((pairs, indented) =>
    {
        var json = new JsonObject();
        foreach (var (name, value) in pairs)
            json[name] = value?.DeepClone();
        return json.ToJsonString(new() { WriteIndented = indented });
    });

    [Fact]
    public void ToJson_UntouchedCall_IsWhatTheModelWrote() => Json.Sample(json =>
    {
        var content = CallArguments.ToContent(new ToolCall("c", "f", json));

        content.Exception.ShouldBeNull();
        CallArguments.ToJson(content.Arguments, content.RawRepresentation).ShouldBe(json);
    });

    [Fact]
    public void ToJson_ArgumentsAsTextLikeSemanticKernelKeepsThem_IsWhatTheModelWrote() => Json.Sample(json =>
    {
        var content = CallArguments.ToContent(new ToolCall("c", "f", json));
        var texts = content.Arguments!.ToDictionary(p => p.Key, p => (object?)p.Value?.ToString());

        CallArguments.ToJson(texts, content.RawRepresentation).ShouldBe(json);
    });

    [Fact]
    public void ToJson_AnArgumentAdded_IsNotWhatTheModelWrote() => Json.Sample(json =>
    {
        var content = CallArguments.ToContent(new ToolCall("c", "f", json));
        content.Arguments!["added later"] = "x";

        JsonNode.Parse(CallArguments.ToJson(content.Arguments, content.RawRepresentation))!["added later"]!.GetValue<string>().ShouldBe("x");
    });
}
