using System.Reflection;
using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.Connectors.OpenAI;
using Shouldly;
using Xunit;

namespace SK.Connectors.LogQuant.Tests;

public sealed class LogQuantPromptExecutionSettingsTests
{
    private static LogQuantPromptExecutionSettings Full() => new()
    {
        ServiceId = "service",
        ModelId = "model",
        FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(),
        ExtensionData = new Dictionary<string, object> { ["x"] = 1 },
        Temperature = 0.5,
        TopP = 0.9,
        TopK = 40,
        MinP = 0.05,
        Seed = 7,
        MaxTokens = 12,
        StopSequences = ["END"],
        FrequencyPenalty = 0.1,
        PresencePenalty = 0.2,
        RepetitionPenalty = 1.1,
        ResponseFormat = "text",
        ResultsPerPrompt = 2,
        ReasoningEffort = "low",
        Logprobs = true,
        TopLogprobs = 2,
    };

    private static IEnumerable<PropertyInfo> Properties =>
        typeof(LogQuantPromptExecutionSettings).GetProperties().Where(p => p.CanWrite && p.SetMethod!.IsPublic);

    [Fact]
    public void Serialize_AllSet_HasTheSnakeCaseNames()
    {
        using var json = JsonDocument.Parse(JsonSerializer.Serialize(Full()));

        json.RootElement.EnumerateObject().Select(p => p.Name).Except(["service_id", "model_id", "function_choice_behavior", "x"]).Order().ShouldBe([
            "frequency_penalty", "logprobs", "max_tokens", "min_p", "presence_penalty", "reasoning_effort", "repetition_penalty",
            "response_format", "results_per_prompt", "seed", "stop_sequences", "temperature", "top_k", "top_logprobs", "top_p"]);
    }

    [Fact]
    public void Serialize_NothingSet_WritesNoneOfOurs()
    {
        using var json = JsonDocument.Parse(JsonSerializer.Serialize(new LogQuantPromptExecutionSettings()));

        json.RootElement.EnumerateObject().Select(p => p.Name).ShouldBeSubsetOf(["service_id", "model_id", "function_choice_behavior"]);
    }

    [Fact]
    public void Deserialize_WhatWasWritten_IsTheSame()
    {
        var json = JsonSerializer.Serialize(Full());

        var read = JsonSerializer.Deserialize<LogQuantPromptExecutionSettings>(json)!;

        JsonSerializer.Serialize(read).ShouldBe(json);
    }

    [Fact]
    public void FromExecutionSettings_Null_IsNew() =>
        LogQuantPromptExecutionSettings.FromExecutionSettings(null).Temperature.ShouldBeNull();

    [Fact]
    public void FromExecutionSettings_SameType_IsTheSameObject()
    {
        var settings = Full();

        LogQuantPromptExecutionSettings.FromExecutionSettings(settings).ShouldBeSameAs(settings);
    }

    [Fact]
    public void FromExecutionSettings_BaseTypeWithExtensionData_IsRead()
    {
        var behavior = FunctionChoiceBehavior.Auto([KernelFunctionFactory.CreateFromMethod(() => 1, "one")], autoInvoke: false);

        var converted = LogQuantPromptExecutionSettings.FromExecutionSettings(new PromptExecutionSettings
        {
            ServiceId = "service",
            ModelId = "model",
            FunctionChoiceBehavior = behavior,
            ExtensionData = new Dictionary<string, object> { ["temperature"] = 0.25, ["max_tokens"] = "17", ["min_p"] = 0.1, ["other"] = "kept" },
        });

        converted.Temperature.ShouldBe(0.25);
        converted.MaxTokens.ShouldBe(17);
        converted.MinP.ShouldBe(0.1);
        converted.ServiceId.ShouldBe("service");
        converted.ModelId.ShouldBe("model");
        converted.ExtensionData!["other"].ToString().ShouldBe("kept");
        converted.FunctionChoiceBehavior.ShouldBeSameAs(behavior);
    }

    [Fact]
    public void FromExecutionSettings_AnotherConnectorsSettings_AreTakenOver()
    {
        var behavior = FunctionChoiceBehavior.Required();

        var converted = LogQuantPromptExecutionSettings.FromExecutionSettings(new OpenAIPromptExecutionSettings
        {
            Temperature = 0.25,
            TopP = 0.5,
            MaxTokens = 17,
            Seed = 3,
            StopSequences = ["END"],
            ResponseFormat = typeof(Answer),
            FunctionChoiceBehavior = behavior,
        });

        (converted.Temperature, converted.TopP, converted.MaxTokens, converted.Seed).ShouldBe((0.25, 0.5, 17, 3));
        converted.StopSequences.ShouldBe(["END"]);
        converted.FunctionChoiceBehavior.ShouldBeSameAs(behavior);
        converted.ResponseFormat.ShouldBeOfType<JsonElement>().GetProperty("properties").TryGetProperty("Value", out _).ShouldBeTrue();
    }

    [Fact]
    public void FromExecutionSettings_WrongType_ErrorNamesTheSetting() =>
        Should.Throw<ArgumentException>(() => LogQuantPromptExecutionSettings.FromExecutionSettings(new PromptExecutionSettings
        {
            ExtensionData = new Dictionary<string, object> { ["top_k"] = "many" },
        })).Message.ShouldContain("top_k");

    [Theory]
    [InlineData("true", true)]
    [InlineData("False", false)]
    public void FromExecutionSettings_SwitchIsText_IsRead(string text, bool expected) =>
        LogQuantPromptExecutionSettings.FromExecutionSettings(new PromptExecutionSettings
        {
            ExtensionData = new Dictionary<string, object> { ["logprobs"] = text, ["top_logprobs"] = "3" },
        }).ShouldSatisfyAllConditions(s => s.Logprobs.ShouldBe(expected), s => s.TopLogprobs.ShouldBe(3));

    [Fact]
    public void FromExecutionSettings_SwitchIsNoSwitch_ErrorNamesIt() =>
        Should.Throw<ArgumentException>(() => LogQuantPromptExecutionSettings.FromExecutionSettings(new PromptExecutionSettings
        {
            ExtensionData = new Dictionary<string, object> { ["logprobs"] = "perhaps" },
        })).Message.ShouldContain("logprobs");

    [Fact]
    public void FromExecutionSettings_ResponseFormatOfAnotherLibrary_IsNotTakenForAnyJson() =>
        Should.Throw<ArgumentException>(() => LogQuantPromptExecutionSettings.FromExecutionSettings(new OpenAIPromptExecutionSettings
        {
            ResponseFormat = OpenAI.Chat.ChatResponseFormat.CreateJsonObjectFormat(),
        })).Message.ShouldContain("response_format");

    [Fact]
    public void FromExecutionSettings_FunctionsOfferedInTheOldWay_AreNotDroppedSilently() =>
        Should.Throw<ArgumentException>(() => LogQuantPromptExecutionSettings.FromExecutionSettings(new OpenAIPromptExecutionSettings
        {
            ToolCallBehavior = ToolCallBehavior.AutoInvokeKernelFunctions,
        })).Message.ShouldContain("FunctionChoiceBehavior");

    [Fact]
    public void Serialize_ResponseFormatIsAType_WritesItsSchema()
    {
        var json = JsonSerializer.SerializeToElement(new LogQuantPromptExecutionSettings { ResponseFormat = typeof(Answer) });

        json.GetProperty("response_format").GetProperty("type").GetString().ShouldBe("object");
    }

    [Fact]
    public void Freeze_Always_RefusesEverySetterAndChangesOfLists()
    {
        var settings = Full();
        settings.Freeze();
        settings.Freeze();

        settings.IsFrozen.ShouldBeTrue();
        foreach (var property in Properties)
        {
            Should.Throw<TargetInvocationException>(() => property.SetValue(settings, property.GetValue(settings)), property.Name)
                .InnerException.ShouldBeOfType<InvalidOperationException>();
        }
        Should.Throw<NotSupportedException>(() => settings.StopSequences!.Add("x"));
        Should.Throw<NotSupportedException>(() => settings.ExtensionData!.Add("y", 1));
    }

    [Fact]
    public void Clone_Frozen_CopiesEveryPropertyAndThaws()
    {
        var settings = Full();
        var original = Full();
        settings.Freeze();

        var clone = settings.Clone().ShouldBeOfType<LogQuantPromptExecutionSettings>();

        clone.IsFrozen.ShouldBeFalse();
        foreach (var property in Properties)
            property.GetValue(clone).ShouldBeEquivalentTo(property.GetValue(original), property.Name);
        clone.StopSequences!.Add("x");
        settings.StopSequences!.Count.ShouldBe(1);
    }

    [Fact]
    public void ToChatOptions_ForAKernelsChatClient_LosesNothing()
    {
        var settings = Full();
        settings.Logprobs = null;
        settings.TopLogprobs = null;
        settings.ReasoningEffort = "none";
        settings.ResultsPerPrompt = 1;

        var options = settings.ToChatOptions(new Kernel());

        options.Temperature.ShouldBe(0.5f);
        options.Seed.ShouldBe(7);
        options.ResponseFormat.ShouldBe(ChatResponseFormat.Text);
        options.Reasoning!.Effort.ShouldBe(Microsoft.Extensions.AI.ReasoningEffort.None);
        options.AdditionalProperties!["min_p"].ShouldBe(0.05);
        options.AdditionalProperties["repetition_penalty"].ShouldBe(1.1);
    }

    [Fact]
    public void ToChatOptions_SeveralResults_IsAnErrorSinceAClientGivesOne() =>
        Should.Throw<NotSupportedException>(() => new LogQuantPromptExecutionSettings { ResultsPerPrompt = 2 }.ToChatOptions(new Kernel()))
            .Message.ShouldContain("results_per_prompt is 2");

    private sealed record Answer(int Value);
}
