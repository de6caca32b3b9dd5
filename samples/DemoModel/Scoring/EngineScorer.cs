using System.Text.Json.Nodes;
using DemoModel.Dialogues;
using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm;

namespace DemoModel.Scoring;

/// <summary>
/// Scores through the engine and its KV cache: greedy answers, each after the scripted history. A recall is right if the answer holds the
/// value, a tool turn if the calls have the right names and arguments.
/// </summary>
internal static class EngineScorer
{
    private const int MaxAnswerTokens = 160;

    public static async Task<Score> ScoreAsync(string model, KvCacheKind cache, int dialogues, int length, int seed, Action<string>? wrong)
    {
        BytePairEncoder encoder = BytePairEncoder.Load(model);
        await using LlmEngine engine = await LlmEngine.LoadAsync(new() { ModelPath = model, KvCache = new() { Kind = cache } });
        var counts = new ScoreCounts();
        for (int i = 0; i < dialogues; i++)
        {
            var generator = new DialogueGenerator(seed + i, Split.Test, ForcedScorer.FarOptions);
            var dialogue = new EncodedDialogue(encoder, generator);
            ToolDefinition[] tools = [.. generator.Tools.Select(t => new ToolDefinition(t.Name, t.Description, t.Schema))];
            List<ChatTurn> turns = [new(ChatRole.System, generator.SystemPrompt)];
            while (dialogue.Ids.Count < length - MaxAnswerTokens)
            {
                ScriptedTurn turn = generator.Next();
                dialogue.Add(turn);
                turns.Add(new(ChatRole.User, turn.UserText));
                for (int round = 0; round <= turn.Rounds.Count; round++)
                {
                    bool isCall = round < turn.Rounds.Count;
                    ScriptedCall[] expected = isCall ? [.. turn.Rounds[round]] : [];
                    if (isCall || turn.Kind is TurnKind.Recall or TurnKind.Unknown)
                    {
                        (string text, List<ToolCall> calls) = await AnswerAsync(engine, turns, tools);
                        bool right = isCall ? Same(calls, expected)
                            : turn.Kind == TurnKind.Recall ? turn.Facts.All(f => f.IsIn(text)) : text.Contains(turn.ExpectedRefusal!, StringComparison.Ordinal);
                        counts.Add(turn, isCall, dialogue.Spans[^1].DistanceTokens, right);
                        if (!right)
                            wrong?.Invoke($"{turn.UserText}\n    {text}{string.Concat(calls.Select(c => $"{c.Name}{c.ArgumentsJson} "))}");
                    }

                    AddScripted(turns, expected, turn.Answer);
                }
            }
        }

        return counts.ToScore();
    }

    private static async Task<(string Text, List<ToolCall> Calls)> AnswerAsync(LlmEngine engine, List<ChatTurn> turns, ToolDefinition[] tools)
    {
        string text = "";
        List<ToolCall> calls = [];
        GenerationRequest request = new() { Turns = [.. turns], Tools = tools, Sampling = SamplingOptions.Greedy, MaxTokens = MaxAnswerTokens };
        await foreach (GenerationUpdate update in engine.GenerateAsync(request))
        {
            if (update is TextDelta delta)
                text += delta.Text;
            else if (update is ToolCallUpdate call)
                calls.Add(call.Call);
        }

        return (text, calls);
    }

    private static bool Same(List<ToolCall> made, ScriptedCall[] expected) =>
        made.Count == expected.Length && made.Zip(expected).All(p => p.First.Name == p.Second.Name
            && JsonNode.DeepEquals(JsonNode.Parse(p.First.ArgumentsJson), JsonNode.Parse(p.Second.ArgumentsJson)));

    // The history goes on as scripted, whatever the model wrote: a round's calls with their results, or the answer.
    private static void AddScripted(List<ChatTurn> turns, ScriptedCall[] round, string answer)
    {
        if (round.Length == 0)
        {
            turns.Add(new(ChatRole.Assistant, answer));
            return;
        }

        ToolCall[] calls = [.. round.Select((c, i) => new ToolCall($"call_{turns.Count}_{i}", c.Name, c.ArgumentsJson))];
        turns.Add(new(ChatRole.Assistant, "") { ToolCalls = calls });
        turns.AddRange(calls.Zip(round, (call, scripted) => new ChatTurn(ChatRole.Tool, scripted.Result) { ToolCallId = call.Id, Name = call.Name }));
    }
}
