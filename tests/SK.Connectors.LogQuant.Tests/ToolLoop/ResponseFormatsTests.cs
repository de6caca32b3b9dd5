using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Nodes;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.Connectors.OpenAI;
using Shouldly;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

public sealed class ResponseFormatsTests
{
    private const string Schema = """{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}""";

    private static async Task<OutputConstraint?> ConstraintAsync(PromptExecutionSettings settings)
    {
        var engine = new ScriptedEngine(Script.Text("{}"));
        await new LogQuantChatCompletionService(engine).GetChatMessageContentsAsync(new ChatHistory("Hello"), settings);
        return engine.Requests.Single().Constraint;
    }

    private static async Task<JsonElement> SchemaAsync(object format) =>
        (await ConstraintAsync(new LogQuantPromptExecutionSettings { ResponseFormat = format })).ShouldBeOfType<JsonSchemaConstraint>().Schema;

    [Theory]
    [InlineData("json_object")]
    [InlineData("json")]
    [InlineData("""{"type":"json_object"}""")]
    public async Task ResponseFormat_JsonObject_IsAnyObject(string format) =>
        (await ConstraintAsync(new LogQuantPromptExecutionSettings { ResponseFormat = format })).ShouldBe(OutputConstraint.JsonObject);

    [Theory]
    [InlineData("text")]
    [InlineData("""{"type":"text"}""")]
    public async Task ResponseFormat_Text_IsFree(string format) =>
        (await ConstraintAsync(new LogQuantPromptExecutionSettings { ResponseFormat = format })).ShouldBeNull();

    public static TheoryData<object> Spellings =>
    [
        Schema,
        JsonElement.Parse(Schema),
        JsonDocument.Parse(Schema),
        JsonNode.Parse(Schema)!,
        JsonElement.Parse($$"""{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{{Schema}} } }"""),
        $$"""{"type":"json_schema","name":"a","schema":{{Schema}} }""",
        Microsoft.Extensions.AI.ChatResponseFormat.ForJsonSchema(JsonElement.Parse(Schema), "a"),
    ];

    [Theory]
    [MemberData(nameof(Spellings))]
    public async Task ResponseFormat_ASchemaInEverySpelling_ReachesTheEngine(object format) =>
        JsonElement.DeepEquals(await SchemaAsync(format), JsonElement.Parse(Schema)).ShouldBeTrue();

    [Fact]
    public async Task ResponseFormat_Type_RequiresAllPropertiesAndNoOthers()
    {
        var schema = await SchemaAsync(typeof(Menu));

        schema.GetProperty("required").EnumerateArray().Select(r => r.GetString()).ShouldBe(["Name", "Dishes"]);
        schema.GetProperty("additionalProperties").GetBoolean().ShouldBeFalse();
        var dish = schema.GetProperty("properties").GetProperty("Dishes").GetProperty("items");
        dish.GetProperty("additionalProperties").GetBoolean().ShouldBeFalse();
    }

    [Fact]
    public async Task ResponseFormat_TypeInForeignSettings_ReachesTheEngine()
    {
        var constraint = await ConstraintAsync(new OpenAIPromptExecutionSettings { ResponseFormat = typeof(Menu) });

        constraint.ShouldBeOfType<JsonSchemaConstraint>().Schema.GetProperty("properties").TryGetProperty("Dishes", out _).ShouldBeTrue();
    }

    [Fact]
    public async Task ResponseFormat_AmongThePromptsOwnSettings_ReachesTheEngine()
    {
        // As a prompt template's file has it.
        var settings = JsonSerializer.Deserialize<PromptExecutionSettings>(
            $$"""{"temperature":0,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{{Schema}} } } }""")!;

        (await ConstraintAsync(settings)).ShouldBeOfType<JsonSchemaConstraint>();
    }

    [Fact]
    public async Task GuidedChoice_InExtensionData_ReachesTheEngine()
    {
        var settings = new LogQuantPromptExecutionSettings { ExtensionData = new Dictionary<string, object> { ["guided_choice"] = new[] { "yes", "no" } } };

        (await ConstraintAsync(settings)).ShouldBeOfType<ChoiceConstraint>().Choices.ShouldBe(["yes", "no"]);
    }

    [Description("A menu.")]
    private sealed class Menu
    {
        public string Name { get; set; } = "";

        public List<Dish> Dishes { get; set; } = [];
    }

    private sealed class Dish
    {
        public string? Name { get; set; }

        public decimal Price { get; set; }
    }
}
