using System.Globalization;
using System.Text.Json;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Mapping;
using SK.Connectors.LogQuant.ToolLoop;

namespace SK.Connectors.LogQuant.Tests.Mapping;

public sealed class TypedSchemasTests
{
    private static readonly Delegate Plan =
        (int count, byte? level, decimal price, TimeOnly at, TimeSpan? length, byte[] key, List<short> steps, string name) => "ok";

    [Fact]
    public async Task KernelFunction_Parameters_AreNarrowedToTheirTypes()
    {
        var kernel = new Kernel();
        kernel.Plugins.AddFromFunctions("Do", [KernelFunctionFactory.CreateFromMethod(Plan, "Plan")]);
        var engine = new ScriptedEngine(Script.Text("ok"));

        await new LogQuantChatCompletionService(engine).GetChatMessageContentAsync(
            new ChatHistory("Go."), new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() }, kernel);

        AreNarrowed(engine.Requests.Single().Tools.Single().Parameters);
    }

    [Fact]
    public void PlainFunction_Parameters_AreNarrowedToTheirTypes()
    {
        using var client = new LogQuantChatClient(new ScriptedEngine());
        var request = ChatRequestMapper.Map(
            [new ChatMessage(Microsoft.Extensions.AI.ChatRole.User, "Go.")], new ChatOptions { Tools = [AIFunctionFactory.Create(Plan, "plan")] },
            client, NullLogger.Instance);

        AreNarrowed(request.Generation.Tools.Single().Parameters);
    }

    private static void AreNarrowed(JsonElement parameters)
    {
        var properties = parameters.GetProperty("properties");
        Format("count").ShouldBe("int32");
        Format("level").ShouldBe("uint8");
        Format("price").ShouldBe("decimal");
        Format("at").ShouldBeNull();
        properties.GetProperty("at").GetProperty("pattern").GetString().ShouldStartWith("^([01]");
        properties.GetProperty("length").GetProperty("pattern").GetString().ShouldStartWith("^-?");
        Format("key").ShouldBe("byte");
        properties.GetProperty("steps").GetProperty("items").GetProperty("format").GetString().ShouldBe("int16");
        Format("name").ShouldBeNull();

        string? Format(string name) => properties.GetProperty(name).TryGetProperty("format", out var format) ? format.GetString() : null;
    }

    [Theory]
    [InlineData("00:00:00", true)]
    [InlineData("23:59:59.1234567", true)]
    [InlineData("9999999.23:59:59.9999999", true)]
    [InlineData("-3.00:00:01", true)]
    [InlineData("24:00:00", false)]
    [InlineData("12:60:00", false)]
    [InlineData("10675200.00:00:00", false)]
    public void TimeSpan_WhatItsPatternAllows_CanBeRead(string text, bool expected)
    {
        var pattern = ResponseFormats.SchemaOf(typeof(TimeSpan)).GetProperty("pattern").GetString()!;

        System.Text.RegularExpressions.Regex.IsMatch(text, pattern).ShouldBe(expected);
        if (expected)
            JsonSerializer.Deserialize<TimeSpan>($"\"{text}\"").ToString("c", CultureInfo.InvariantCulture).ShouldNotBeEmpty();
    }

    [Fact]
    public void ResponseFormat_NestedTypes_AreNarrowed()
    {
        var properties = ResponseFormats.SchemaOf(typeof(Shift)).GetProperty("properties");

        properties.GetProperty("Break").GetProperty("properties").GetProperty("From").TryGetProperty("pattern", out _).ShouldBeTrue();
        properties.GetProperty("Pay").GetProperty("format").GetString().ShouldBe("decimal");
        properties.GetProperty("Count").GetProperty("format").GetString().ShouldBe("uint32");
        properties.GetProperty("Day").GetProperty("enum").GetArrayLength().ShouldBe(7);
    }

    private sealed record Shift(Break Break, decimal Pay, uint? Count, DayOfWeek Day);

    private sealed record Break(TimeOnly From, byte[] Key);
}
