using System.Text.Json.Nodes;
using DemoModel.Dialogues;
using LocalLlm.Evaluation.Models;

namespace LocalLlm.Evaluation.Recall;

/// <summary>
/// The same exam for any chat model: every answer is generated greedily through the engine, after the scripted history. A recall is right if the
/// answer gives the values (<see cref="Fact.IsIn"/>), a tool call if names and arguments are the script's.
/// </summary>
internal sealed class EngineRecall(LlmEngine engine, EvaluatedModel model, RecallTask task, int seed)
{
    private const int MaxAnswerTokens = 256;
    private const int TurnTokens = 4; // of the template, about

    private readonly Dictionary<string, (int First, int Count)> told = [];
    private readonly List<ChatTurn> turns = [];
    private int length;

    /// <summary>Plays a dialogue of about so many tokens.</summary>
    public async Task<IReadOnlyList<RecallAnswer>> PlayAsync(int tokens, CancellationToken cancellationToken)
    {
        var answers = new List<RecallAnswer>();
        var generator = new DialogueGenerator(seed, Split.Test, task.Options);
        ToolDefinition[] tools = [.. generator.Tools.Select(t => new ToolDefinition(t.Name, t.Description, t.Schema))];
        Add(new ChatTurn(ChatRole.System, generator.SystemPrompt));
        length += tools.Sum(t => Count(t.Name) + Count(t.Description) + Count(t.Parameters.GetRawText()));
        while (length < tokens)
        {
            var turn = generator.Next();
            foreach (var fact in turn.Kind == TurnKind.Tell ? turn.Facts : [])
                told[fact.Key] = (length + Count(turn.UserText[..turn.UserText.LastIndexOf(fact.Value, StringComparison.Ordinal)]), Count(" " + fact.Value));
            Add(new ChatTurn(ChatRole.User, turn.UserText));
            foreach (var round in turn.Rounds)
            {
                var (_, calls) = await AnswerAsync(tools, cancellationToken);
                answers.Add(new RecallAnswer(RecallAnswer.ToolCall, 0, null, Same(calls, round)));
                AddCalls(round);
            }

            if (turn.Kind == TurnKind.Recall)
            {
                var (first, count) = told[turn.Facts[0].Key];
                var (text, _) = await AnswerAsync(tools, cancellationToken);
                answers.Add(new RecallAnswer(turn.Recall.ToString(), length - first, Regimes.Of(length, first, count), turn.Facts.All(f => f.IsIn(text))));
            }
            else if (turn.Kind == TurnKind.Unknown)
            {
                var (text, calls) = await AnswerAsync(tools, cancellationToken);
                answers.Add(new RecallAnswer(RecallAnswer.Refusal, 0, null, calls.Count == 0 && text.Contains(turn.ExpectedRefusal!, StringComparison.OrdinalIgnoreCase)));
            }

            Add(new ChatTurn(ChatRole.Assistant, turn.Answer));
        }

        return answers;
    }

    private int Count(string text) => model.Tokenizer.Encode(text).Length;

    private void Add(ChatTurn turn)
    {
        turns.Add(turn);
        length += TurnTokens + Count(turn.Content) + turn.ToolCalls.Sum(c => TurnTokens + Count(c.Name) + Count(c.ArgumentsJson));
    }

    private void AddCalls(IReadOnlyList<ScriptedCall> round)
    {
        ToolCall[] calls = [.. round.Select((c, i) => new ToolCall($"call_{turns.Count}_{i}", c.Name, c.ArgumentsJson))];
        Add(new ChatTurn(ChatRole.Assistant, "") { ToolCalls = calls });
        foreach (var (call, scripted) in calls.Zip(round))
            Add(new ChatTurn(ChatRole.Tool, scripted.Result) { ToolCallId = call.Id, Name = call.Name });
    }

    private async Task<(string Text, List<ToolCall> Calls)> AnswerAsync(ToolDefinition[] tools, CancellationToken cancellationToken)
    {
        var (text, calls) = ("", new List<ToolCall>());
        var request = new GenerationRequest { Turns = [.. turns], Tools = tools, Sampling = SamplingOptions.Greedy, MaxTokens = MaxAnswerTokens };
        await foreach (var update in engine.GenerateAsync(request, cancellationToken))
        {
            if (update is TextDelta delta)
                text += delta.Text;
            else if (update is ToolCallUpdate call)
                calls.Add(call.Call);
        }

        return (text, calls);
    }

    private static bool Same(List<ToolCall> made, IReadOnlyList<ScriptedCall> expected) =>
        made.Count == expected.Count && made.Zip(expected).All(p => p.First.Name == p.Second.Name
            && JsonNode.DeepEquals(JsonNode.Parse(p.First.ArgumentsJson), JsonNode.Parse(p.Second.ArgumentsJson)));
}
