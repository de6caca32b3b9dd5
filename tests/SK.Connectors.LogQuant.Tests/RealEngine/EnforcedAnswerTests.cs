using System.Text.Json;
using System.Text.Json.Serialization;
using Agents.Plugins;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;

namespace SK.Connectors.LogQuant.Tests.RealEngine;

/// <summary>
/// What must hold whatever the model would rather write, with the model that ships: it is small, and much of this it was never trained for.
/// </summary>
public sealed class EnforcedAnswerTests : IAsyncLifetime
{
    private static readonly DialogueOptions ToolTurnsOnly = new() { Tell = 0, SmallTalk = 0, Recall = 0, Unknown = 0, SeveralCalls = 0 };

    private readonly Kernel _kernel = new();
    private LlmEngine? _engine;

    public async ValueTask InitializeAsync()
    {
        _engine = await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = RealModels.RequireDemoModel() });
        _kernel.OpenWorkshop();
    }

    public ValueTask DisposeAsync() => _engine?.DisposeAsync() ?? ValueTask.CompletedTask;

    private LogQuantChatCompletionService Chat => new(_engine!);

    private LogQuantChatClient Client => new(_engine!);

    private static ChatHistory Say(string text)
    {
        var history = new ChatHistory(DemoTools.SystemPrompt);
        history.AddUserMessage(text);
        return history;
    }

    private static string QuestionThatNeedsATool(int seed) => new DialogueGenerator(seed, Split.Test, ToolTurnsOnly).Take(1)[0].UserText;

    private async Task<IReadOnlyList<FunctionCallContent>> CallsAsync(string question, FunctionChoiceBehavior behavior, int seed = 0)
    {
        var settings = new LogQuantPromptExecutionSettings { Temperature = seed == 0 ? 0 : 0.7, Seed = seed, MaxTokens = 1000, FunctionChoiceBehavior = behavior };
        return [.. FunctionCallContent.GetFunctionCalls(await Chat.GetChatMessageContentAsync(Say(question), settings, _kernel))];
    }

    [Fact]
    public async Task Required_QuestionWithoutNeedOfATool_IsACallNevertheless()
    {
        const string Question = "Hello!";
        (await CallsAsync(Question, FunctionChoiceBehavior.Auto(autoInvoke: false))).ShouldBeEmpty();

        for (var seed = 0; seed < 5; seed++)
        {
            var calls = await CallsAsync(Question, FunctionChoiceBehavior.Required(autoInvoke: false), seed);

            calls.ShouldNotBeEmpty();
            foreach (var call in calls)
                (_kernel.Plugins.TryGetFunction(call.PluginName, call.FunctionName, out _) && call.Exception is null).ShouldBeTrue(call.FunctionName);
        }
    }

    [Fact]
    public async Task None_QuestionThatNeedsATool_IsAnsweredWithoutACall()
    {
        var question = QuestionThatNeedsATool(1);
        (await CallsAsync(question, FunctionChoiceBehavior.Auto(autoInvoke: false))).ShouldNotBeEmpty();

        for (var seed = 0; seed < 5; seed++)
        {
            var settings = new LogQuantPromptExecutionSettings { Temperature = seed == 0 ? 0 : 1.5, Seed = seed, MaxTokens = 60, FunctionChoiceBehavior = FunctionChoiceBehavior.None() };
            var answer = await Chat.GetChatMessageContentAsync(Say(question), settings, _kernel);

            FunctionCallContent.GetFunctionCalls(answer).ShouldBeEmpty();
            (answer.Content ?? "").ShouldNotContain("tool_call");
        }
    }

    [Fact]
    public async Task Required_OneFunction_IsTheOneThatIsCalled()
    {
        foreach (var function in _kernel.Plugins.GetFunctionsMetadata())
        {
            var only = _kernel.Plugins.GetFunction(function.PluginName, function.Name);

            var calls = await CallsAsync(QuestionThatNeedsATool(2), FunctionChoiceBehavior.Required([only], autoInvoke: false));

            calls.ShouldNotBeEmpty();
            calls.ShouldAllBe(c => c.PluginName == function.PluginName && c.FunctionName == function.Name);
            foreach (var parameter in function.Parameters.Where(p => p.IsRequired))
                calls.ShouldAllBe(c => c.Arguments!.ContainsKey(parameter.Name));
        }
    }

    [Fact]
    public async Task RequireSpecific_ThroughTheClient_IsTheOneThatIsCalled()
    {
        AITool[] tools = [AIFunctionFactory.Create((string city) => city, "weather"), AIFunctionFactory.Create((int a, int b) => a + b, "add")];

        var response = await Client.GetResponseAsync("Hello!", new() { Tools = tools, ToolMode = ChatToolMode.RequireSpecific("add"), AllowMultipleToolCalls = false, Temperature = 0 });

        response.FinishReason.ShouldBe(ChatFinishReason.ToolCalls);
        var calls = response.Messages.SelectMany(m => m.Contents).OfType<Microsoft.Extensions.AI.FunctionCallContent>().ToList();
        calls.ShouldAllBe(c => c.Name == "add" && ((JsonElement)c.Arguments!["a"]!).ValueKind == JsonValueKind.Number);
    }

    [Fact]
    public async Task Required_ParallelCallsNotAllowed_IsOneCall()
    {
        for (var seed = 0; seed < 4; seed++)
            (await CallsAsync("Hello!", FunctionChoiceBehavior.Required(autoInvoke: false, options: new() { AllowParallelCalls = false }), seed)).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Required_CutShort_ReasonIsLengthAndNothingOfTheCallIsShown()
    {
        for (var limit = 1; limit < 12; limit++)
        {
            var settings = new LogQuantPromptExecutionSettings
            {
                Temperature = 0,
                MaxTokens = limit,
                FunctionChoiceBehavior = FunctionChoiceBehavior.Required(autoInvoke: false),
            };
            var answer = await Chat.GetChatMessageContentAsync(Say("Hello!"), settings, _kernel);

            answer.Metadata![LogQuantMetadata.FinishReason].ShouldBe("length");
            FunctionCallContent.GetFunctionCalls(answer).ShouldBeEmpty();
            (answer.Content ?? "").ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task ResponseFormat_Type_IsReadableOnEverySeed()
    {
        for (var seed = 0; seed < 8; seed++)
        {
            var settings = new LogQuantPromptExecutionSettings { Temperature = 1, Seed = seed, ResponseFormat = typeof(Report) };

            var answer = await Chat.GetChatMessageContentAsync(Say("Tell me about Rome."), settings);

            answer.Metadata![LogQuantMetadata.FinishReason].ShouldBe("stop");
            var report = JsonSerializer.Deserialize<Report>(answer.Content!).ShouldNotBeNull();
            report.Place.ShouldNotBeNull();
            Enum.IsDefined(report.Mood).ShouldBeTrue();
        }
    }

    [Fact]
    public async Task ResponseFormat_JsonObject_IsAnObject()
    {
        for (var seed = 0; seed < 4; seed++)
        {
            var response = await Client.GetResponseAsync("Tell me about Rome.", new() { ResponseFormat = ChatResponseFormat.Json, Seed = seed, Temperature = 0.7f, MaxOutputTokens = 1000 });

            if (response.FinishReason == ChatFinishReason.Stop)
                JsonElement.Parse(response.Text).ValueKind.ShouldBe(JsonValueKind.Object);
        }
    }

    [Fact]
    public async Task GetResponseOfT_Enum_IsReadable()
    {
        (await Client.GetResponseAsync<Mood>("How are you?", new ChatOptions { Temperature = 1, Seed = 3 })).TryGetResult(out var mood).ShouldBeTrue();
        Enum.IsDefined(mood).ShouldBeTrue();
    }

    [Fact]
    public async Task GuidedChoice_Texts_AnswerIsOneOfThem()
    {
        var options = new ChatOptions { AdditionalProperties = new() { ["guided_choice"] = new[] { "yes", "no", "naïve 😀" } }, Temperature = 2 };
        for (options.Seed = 0; options.Seed < 6; options.Seed++)
            (await Client.GetResponseAsync("Is it?", options)).Text.ShouldBeOneOf("yes", "no", "naïve 😀");
    }

    [Fact]
    public async Task GuidedRegex_AnswerMatchesAsAWhole()
    {
        var options = new ChatOptions { AdditionalProperties = new() { ["guided_regex"] = "[A-Z][a-zé]{2,5}-\\d{3}( (yes|no))?" }, Temperature = 2 };
        for (options.Seed = 0; options.Seed < 6; options.Seed++)
            (await Client.GetResponseAsync("What is the code?", options)).Text.ShouldMatch("^[A-Z][a-zé]{2,5}-[0-9]{3}( (yes|no))?$");
    }

    [Fact]
    public async Task ResponseFormat_WithTools_IsACallOrTheFormat()
    {
        var settings = new LogQuantPromptExecutionSettings
        {
            Temperature = 0,
            ResponseFormat = typeof(Report),
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(autoInvoke: false),
        };

        var answer = await Chat.GetChatMessageContentAsync(Say(QuestionThatNeedsATool(1)), settings, _kernel);

        if (!FunctionCallContent.GetFunctionCalls(answer).Any())
            JsonSerializer.Deserialize<Report>(answer.Content!).ShouldNotBeNull();
        settings.FunctionChoiceBehavior = FunctionChoiceBehavior.None();
        JsonSerializer.Deserialize<Report>((await Chat.GetChatMessageContentAsync(Say(QuestionThatNeedsATool(1)), settings, _kernel)).Content!).ShouldNotBeNull();
    }

    [Fact]
    public async Task Tool_SchemaThatCannotBeEnforced_ErrorNamesTheTool()
    {
        var schema = JsonElement.Parse("""{"type":"object","properties":{"a":{"not":{"type":"string","pattern":"(?=x)"}}}}""");

        var error = await Should.ThrowAsync<ConstraintException>(() => Client.GetResponseAsync("Hello!", new() { Tools = [AIFunctionFactory.CreateDeclaration("strange", "", schema)] }));

        error.Message.ShouldContain("'strange'");
    }

    [Fact]
    public async Task Streaming_Joined_IsTheWholeAnswer()
    {
        foreach (var format in (object?[])[null, typeof(Report)])
        {
            var settings = new LogQuantPromptExecutionSettings { Temperature = 0, MaxTokens = 400, ResponseFormat = format };
            var whole = await Chat.GetChatMessageContentAsync(Say("Tell me about Rome."), settings);
            var parts = await Chat.GetStreamingChatMessageContentsAsync(Say("Tell me about Rome."), settings).ToListAsync();

            string.Concat(parts.Select(p => p.Content)).ShouldBe(whole.Content);
        }
    }

    [Fact]
    public async Task SeveralResults_WithSeeds_AreThoseOfOneAtATime()
    {
        var settings = new LogQuantPromptExecutionSettings { Temperature = 1, Seed = 5, MaxTokens = 20, ResultsPerPrompt = 3 };

        var answers = await Chat.GetChatMessageContentsAsync(Say("Hello!"), settings);

        answers.Count.ShouldBe(3);
        answers.Skip(1).ShouldAllBe(a => (int)a.Metadata![LogQuantMetadata.CachedPromptTokens]! > 0);
    }

    [JsonConverter(typeof(JsonStringEnumConverter))]
    private enum Mood
    {
        Good,
        Bad,
    }

    private sealed record Report(bool Known, Mood Mood, Place Place);

    private sealed record Place(Mood? Weather, bool IsFar);
}
