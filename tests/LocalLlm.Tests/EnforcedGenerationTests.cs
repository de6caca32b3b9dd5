using System.Text.Json;

namespace LocalLlm.Tests;

/// <summary>Constraints and tool choice through the whole engine, on a story teller that was trained for neither.</summary>
public sealed class EnforcedGenerationTests : IAsyncLifetime
{
    private const string Plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
    private const string Hermes = "{% if tools %}{{ tools | tojson }}<tool_call></tool_call>{% endif %}" + Plain;
    private const string Closed = Plain + "<think></think>";

    private static readonly ToolDefinition Add = new("add", "", JsonElement.Parse("""{"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"]}"""));
    private static readonly ToolDefinition Now = new("now", "", JsonElement.Parse("""{"type":"object","properties":{}}"""));

    private readonly List<string> folders = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync()
    {
        folders.ForEach(f => Directory.Delete(f, recursive: true));
        return ValueTask.CompletedTask;
    }

    private async Task<LlmEngine> LoadAsync(string template, ToolCallFormat? format = null)
    {
        var source = SharedData.Require("stories260K");
        var folder = Directory.CreateTempSubdirectory("stories-").FullName;
        folders.Add(folder);
        foreach (var file in Directory.EnumerateFiles(source).Where(f => Path.GetFileName(f) != "chat_template.jinja"))
            File.CreateSymbolicLink(Path.Combine(folder, Path.GetFileName(file)), file);
        await File.WriteAllTextAsync(Path.Combine(folder, "chat_template.jinja"), template);
        return await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = folder, ToolCallFormat = format });
    }

    private static GenerationRequest Ask(params ToolDefinition[] tools) => new()
    {
        Turns = [new ChatTurn(ChatRole.User, "Once upon a time")],
        Tools = tools,
        MaxTokens = 200,
        Sampling = new SamplingOptions { Temperature = 1, Seed = 1 },
    };

    private static async Task<List<GenerationUpdate>> UpdatesAsync(LlmEngine engine, GenerationRequest request)
    {
        var updates = new List<GenerationUpdate>();
        await foreach (var update in engine.GenerateAsync(request))
            updates.Add(update);
        return updates;
    }

    private static string Text(IEnumerable<GenerationUpdate> updates) => string.Concat(updates.OfType<TextDelta>().Select(d => d.Text));

    [Fact]
    public async Task Generate_RawPromptWithAConstraint_ContinuesWithItsText()
    {
        await using var engine = await LoadAsync(Plain);
        for (var seed = 0; seed < 5; seed++)
        {
            var request = new GenerationRequest
            {
                Prompt = "Once upon a time there was a",
                Constraint = OutputConstraint.Choice(" little girl", " big dog", " a\u0308 \U0001F600"),
                Sampling = new SamplingOptions { Temperature = 1, Seed = seed },
            };
            var updates = await UpdatesAsync(engine, request);

            Text(updates).ShouldBeOneOf(" little girl", " big dog", " a\u0308 \U0001F600");
            updates[^1].ShouldBeOfType<GenerationCompleted>().FinishReason.ShouldBe(FinishReason.Stop);
        }
    }

    [Fact]
    public async Task Generate_ConversationWithAConstraint_IsItsText()
    {
        await using var engine = await LoadAsync(Plain);

        Text(await UpdatesAsync(engine, Ask() with { Constraint = OutputConstraint.Choice("yes", "no") })).ShouldBeOneOf("yes", "no");
    }

    [Fact]
    public async Task Generate_PromptHasClosedTheReasoning_ThereIsNone()
    {
        await using var engine = await LoadAsync(Closed);
        for (var seed = 0; seed < 5; seed++)
        {
            var updates = await UpdatesAsync(engine, Ask() with { Constraint = OutputConstraint.Choice("yes", "no"), Sampling = new() { Temperature = 2, Seed = seed } });

            updates.ShouldNotContain(u => u is ReasoningDelta);
            Text(updates).ShouldBeOneOf("yes", "no");
        }
    }

    [Fact]
    public async Task Generate_EachToolChoice_IsKept()
    {
        await using var engine = await LoadAsync(Hermes);

        var required = await UpdatesAsync(engine, Ask(Add, Now) with { ToolChoice = ToolChoice.Required, AllowParallelToolCalls = false });
        var named = await UpdatesAsync(engine, Ask(Add, Now) with { ToolChoice = ToolChoice.Function("add"), AllowParallelToolCalls = false });
        var none = await UpdatesAsync(engine, Ask(Add, Now) with { ToolChoice = ToolChoice.None });

        required.OfType<ToolCallUpdate>().ShouldHaveSingleItem().Call.Name.ShouldBeOneOf("add", "now");
        required.OfType<GenerationCompleted>().Single().FinishReason.ShouldBe(FinishReason.ToolCalls);
        Text(required).ShouldBeEmpty();
        JsonElement.Parse(named.OfType<ToolCallUpdate>().ShouldHaveSingleItem().Call.ArgumentsJson).GetProperty("a").ValueKind.ShouldBeOneOf(JsonValueKind.True, JsonValueKind.False);
        none.ShouldNotContain(u => u is ToolCallUpdate);
        Text(none).ShouldNotContain("<tool_call>");
    }

    [Fact]
    public async Task Generate_NoToolsAndNoConstraint_AnswerIsFree()
    {
        await using var engine = await LoadAsync(Plain);
        var request = Ask() with { Sampling = SamplingOptions.Greedy, MaxTokens = 30 };

        var free = await UpdatesAsync(engine, request);
        var auto = await UpdatesAsync(engine, request with { ToolChoice = ToolChoice.None });

        Text(auto).ShouldBe(Text(free));
    }

    [Fact]
    public async Task Generate_ManyAtOnceOverOneGrammar_EachIsValid()
    {
        await using var engine = await LoadAsync(Hermes);
        var requests = Enumerable.Range(0, 8).Select(seed => Ask(Add, Now) with
        {
            ToolChoice = ToolChoice.Required,
            AllowParallelToolCalls = false,
            Sampling = new SamplingOptions { Temperature = 1.5f, Seed = seed },
        });

        var answers = await Task.WhenAll(requests.Select(r => Task.Run(() => UpdatesAsync(engine, r))));

        answers.ShouldAllBe(a => a.OfType<ToolCallUpdate>().Count() == 1);
    }

    [Fact]
    public async Task Generate_ChoiceThatCannotBeKept_IsAnErrorBeforeGeneration()
    {
        await using var engine = await LoadAsync(Hermes);

        (await Should.ThrowAsync<ArgumentException>(() => UpdatesAsync(engine, Ask() with { ToolChoice = ToolChoice.Required }))).Message.ShouldContain("ToolChoice requires a call");
        var unknown = await Should.ThrowAsync<ArgumentException>(() => UpdatesAsync(engine, Ask(Add, Now) with { ToolChoice = ToolChoice.Function("sub") }));
        unknown.Message.ShouldContain("'sub'");
        unknown.Message.ShouldContain("add, now");
        var strange = new ToolDefinition("strange", "", JsonElement.Parse("[1]"));
        (await Should.ThrowAsync<ConstraintException>(() => UpdatesAsync(engine, Ask(strange)))).Message.ShouldContain("The parameters of tool 'strange' cannot be enforced");
        // Nobody can call it, so nothing needs to be enforced.
        (await UpdatesAsync(engine, Ask(strange) with { ToolChoice = ToolChoice.None, MaxTokens = 3 })).ShouldNotBeEmpty();
    }

    [Fact]
    public async Task Generate_FormatOfCallsUnknown_OnlyARequiredCallIsAnError()
    {
        await using var engine = await LoadAsync("{{ tools | tojson }}" + Plain);

        (await UpdatesAsync(engine, Ask(Add) with { MaxTokens = 3 })).ShouldNotBeEmpty();
        var error = await Should.ThrowAsync<ConstraintException>(() => UpdatesAsync(engine, Ask(Add) with { ToolChoice = ToolChoice.Required }));
        error.Message.ShouldContain("LlmEngineOptions.ToolCallFormat");

        await using var told = await LoadAsync("{{ tools | tojson }}" + Plain, ToolCallFormat.Llama3Json);
        (await UpdatesAsync(told, Ask(Add) with { ToolChoice = ToolChoice.Required, AllowParallelToolCalls = false })).OfType<ToolCallUpdate>().ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Generate_LlamaAnswerUnderAConstraint_IsTextAndNoCall()
    {
        await using var engine = await LoadAsync("{{ tools | tojson }}" + Plain, ToolCallFormat.Llama3Json);
        const string Json = """{"name": "add", "age": 3}""";

        var updates = await UpdatesAsync(engine, Ask(Add) with { Constraint = OutputConstraint.Choice(Json), ToolChoice = ToolChoice.None });
        Text(updates).ShouldBe(Json);

        for (var seed = 0; seed < 4; seed++)
        {
            var either = await UpdatesAsync(engine, Ask(Add) with { Constraint = OutputConstraint.Choice(Json), AllowParallelToolCalls = false, Sampling = new() { Temperature = 1, Seed = seed } });
            if (either.OfType<ToolCallUpdate>().SingleOrDefault() is { } call)
                JsonElement.Parse(call.Call.ArgumentsJson).TryGetProperty("a", out _).ShouldBeTrue();
            else
                Text(either).ShouldBe(Json);
        }
    }
}
