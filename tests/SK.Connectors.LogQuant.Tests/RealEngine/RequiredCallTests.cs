using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>
/// Calls of functions as users write them, forced out of a model that has never seen such: whatever it writes, the arguments bind and the
/// function runs.
/// </summary>
public sealed class RequiredCallTests : IAsyncLifetime
{
    private LlmEngine? _engine;

    public async ValueTask InitializeAsync() =>
        _engine = await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = RealModels.RequireDemoModel() });

    public ValueTask DisposeAsync() => _engine?.DisposeAsync() ?? ValueTask.CompletedTask;

    [JsonConverter(typeof(JsonStringEnumConverter<Priority>))]
    public enum Priority
    {
        Low,
        High,
    }

    // The bounds keep a model that was never trained for this from going on for ever.
    public sealed record Line([property: StringLength(8)] string Sku, [property: Range(0, 99)] int Quantity, bool? Gift);

    public sealed record Customer([property: StringLength(8)] string Name, [property: StringLength(8)] string? Phone, Priority Priority);

    public sealed record Order(Customer Customer, [property: MaxLength(2)] Line[] Lines);

    public sealed record Node(Priority Priority, [property: MaxLength(1)] Node[] Children);

    /// <summary>One function for each kind of parameter that schemas are made of.</summary>
    private static KernelFunction[] Functions => [
        KernelFunctionFactory.CreateFromMethod(() => "ok", "Nothing"),
        KernelFunctionFactory.CreateFromMethod((bool on, double weight, Priority priority, Priority? other = null) => "ok", "Scalars"),
        KernelFunctionFactory.CreateFromMethod(([Description("Which.")] Guid id) => "ok", "Formats"),
        KernelFunctionFactory.CreateFromMethod((Order order) => "ok", "Order"),
        KernelFunctionFactory.CreateFromMethod((Priority[] priorities, bool fast = true) => "ok", "Defaults"),
        KernelFunctionFactory.CreateFromMethod((Node root) => "ok", "Tree"),
        KernelFunctionFactory.CreateFromMethod(
            (KernelArguments arguments) => arguments.ContainsName("payload") ? "ok" : "none", "Api", "Like an operation of an OpenAPI document.",
            [
                new KernelParameterMetadata("payload")
                {
                    IsRequired = true,
                    Schema = KernelJsonSchema.Parse("""
                        {"type":"object","required":["kind"],"properties":{"kind":{"enum":["a","b"]},
                        "sizes":{"type":"array","items":{"type":"integer","minimum":1,"maximum":9},"maxItems":3}}}
                        """),
                },
            ]),
    ];

    [Theory]
    [InlineData("Nothing")]
    [InlineData("Scalars")]
    [InlineData("Formats")]
    [InlineData("Order")]
    [InlineData("Defaults")]
    [InlineData("Tree")]
    [InlineData("Api")]
    public async Task Required_FunctionOfAnyShape_CallBindsAndRuns(string name)
    {
        var kernel = new Kernel();
        kernel.Plugins.AddFromFunctions("Do", Functions);
        var made = 0;
        for (var seed = 0; seed < 6; seed++)
        {
            var history = new ChatHistory(DemoTools.SystemPrompt);
            history.AddUserMessage("Hello!");
            var settings = new LogQuantPromptExecutionSettings
            {
                Temperature = seed == 0 ? 0 : 1,
                Seed = seed,
                MaxTokens = 500,
                FunctionChoiceBehavior = FunctionChoiceBehavior.Required(
                    [kernel.Plugins.GetFunction("Do", name)], autoInvoke: false, new() { AllowParallelCalls = false }),
            };

            var message = await new LogQuantChatCompletionService(_engine!).GetChatMessageContentAsync(history, settings, kernel);

            foreach (var call in FunctionCallContent.GetFunctionCalls(message))
            {
                made++;
                call.Exception.ShouldBeNull();
                (await call.InvokeAsync(kernel)).Result.ShouldBe("ok", string.Join(", ", call.Arguments!.Select(a => $"{a.Key}: {a.Value}")));
            }
            if (!FunctionCallContent.GetFunctionCalls(message).Any())
                message.Metadata!["FinishReason"].ShouldBe("length");
        }
        made.ShouldBeGreaterThan(0);
    }
}
