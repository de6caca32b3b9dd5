using System.Text.Json;

namespace LocalLlm.Fuzz;

/// <summary>Conversations, tools and sampling settings of requests.</summary>
internal sealed class MessageFuzzer : Fuzzer
{
    private static readonly string[] Words = ["type", "properties", "object", "string", "name", "required", "enum", "items", "description", "messages", "tools", "enable_thinking"];
    private static readonly float?[] Floats = [null, 0, 1, 0.7f, -1, 2, 100, 1e-30f, 1e30f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, -0f];

    private LlmEngine? engine;

    public override string Name => "messages";

    public override async Task OpenAsync(string modelPath) => engine = await LlmEngine.LoadAsync(new LlmEngineOptions { ModelPath = modelPath, Threads = 1, ContextTokens = 2048 });

    public override async Task<bool> TryAsync(Random random)
    {
        try
        {
            await foreach (var update in engine!.GenerateAsync(Request(random)))
            {
                if (update is GenerationCompleted)
                    return true;
            }

            throw new InvalidOperationException("no end");
        }
        catch (Exception e) when (IsRefusal(e))
        {
            // What comes next must not have suffered.
            if (engine!.GetStatistics() is { IsStopped: true } stopped)
                throw new InvalidOperationException($"the engine has stopped: {stopped}", e);
            return false;
        }
    }

    public override ValueTask DisposeAsync() => engine?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static GenerationRequest Request(Random random)
    {
        var request = Messages(random);
        return random.Next(3) == 0 ? request : WithoutPlainMistakes(request);
    }

    // What is checked before all else would hide what comes after it.
    private static GenerationRequest WithoutPlainMistakes(GenerationRequest request) => request with
    {
        Prompt = request.Turns.Count == 0 ? request.Prompt ?? "a" : null,
        Tools = request.Turns.Count == 0 ? [] : [.. request.Tools.DistinctBy(t => t.Name)],
        ToolChoice = ToolChoice.Auto,
        MaxTokens = Math.Clamp(request.MaxTokens ?? 1, 1, 6),
        StopSequences = [.. request.StopSequences.Where(s => s.Length > 0)],
        TopLogprobs = request.TopLogprobs is null ? null : 3,
        Sampling = SamplingOptions.Greedy,
    };

    private static GenerationRequest Messages(Random random) => new()
    {
        Prompt = random.Next(8) == 0 ? RandomText.Next(random, 30) : null,
        Turns = random.Next(5) == 0 ? [] : [.. Enumerable.Range(0, random.Next(6)).Select(_ => Turn(random))],
        Tools = random.Next(3) == 0 ? [.. Enumerable.Range(0, random.Next(3)).Select(i => new ToolDefinition(Short(random), Short(random), Element(random)))] : [],
        ToolChoice = random.Next(6) switch { 0 => ToolChoice.Required, 1 => ToolChoice.None, 2 => ToolChoice.Function(Short(random)), _ => ToolChoice.Auto },
        AllowParallelToolCalls = random.Next(2) == 0,
        MaxTokens = random.Next(12) switch { 0 => int.MaxValue, 1 => 0, 2 => int.MinValue, _ => 1 + random.Next(6) },
        Priority = random.Next(4) switch { 0 => int.MinValue, 1 => int.MaxValue, _ => random.Next(-3, 4) },
        StopSequences = [.. Enumerable.Range(0, random.Next(3)).Select(_ => Short(random))],
        TopLogprobs = random.Next(6) switch { 0 => 20, 1 => int.MaxValue, 2 => -1, 3 => 0, _ => null },
        TemplateVariables = random.Next(4) == 0 ? new Dictionary<string, JsonElement> { [Words[random.Next(Words.Length)]] = Element(random) } : new Dictionary<string, JsonElement>(),
        Sampling = random.Next(3) == 0 ? null : new SamplingOptions
        {
            Temperature = Float(random),
            TopK = random.Next(3) == 0 ? random.Next(-2, 10) : null,
            TopP = Float(random),
            MinP = Float(random),
            RepetitionPenalty = Float(random),
            FrequencyPenalty = Float(random),
            PresencePenalty = Float(random),
            Seed = random.Next(3) == 0 ? random.NextInt64(long.MinValue, long.MaxValue) : null,
        },
    };

    private static ChatTurn Turn(Random random) => new((ChatRole)random.Next(random.Next(20) == 0 ? 9 : 4), RandomText.Next(random, random.Next(30) == 0 ? 2000 : 20))
    {
        Reasoning = random.Next(8) == 0 ? RandomText.Next(random, 10) : null,
        ToolCallId = random.Next(4) == 0 ? Short(random) : null,
        Name = random.Next(4) == 0 ? Short(random) : null,
        ToolCalls = random.Next(5) == 0
            ? [new ToolCall(Short(random), Short(random), random.Next(3) == 0 ? RandomText.Next(random, 8) : RandomJson.ToText(RandomJson.Value(random, Words, 3)))]
            : [],
    };

    private static float? Float(Random random) => random.Next(3) == 0 ? Floats[random.Next(Floats.Length)] : null;

    private static string Short(Random random) => random.Next(2) == 0 ? Words[random.Next(Words.Length)] : RandomText.Next(random, 3);

    private static JsonElement Element(Random random) =>
        random.Next(10) == 0 ? default : JsonSerializer.Deserialize<JsonElement>(RandomJson.ToText(RandomJson.Value(random, Words, 4)));
}
