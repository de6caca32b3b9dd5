using System.Text.Json;
using DemoModel.Dialogues;
using LocalLlm.Chat;
using ChatFormat = DemoModel.Dialogues.ChatFormat;

namespace LocalLlm.Tests.DemoModel;

public sealed class ChatTemplateTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Render_ScriptedDialogue_EqualsTheGeneratorsOwnText(bool withTools)
    {
        DialogueOptions options = new() { NoTools = withTools ? 0 : 1, MostTools = 8, SeveralCalls = 0.3 };
        for (int seed = 0; seed < 10; seed++)
        {
            var generator = new DialogueGenerator(seed, Split.Test, options);
            string expected = Text(ChatFormat.System(generator.SystemPrompt, generator.Tools));
            List<ChatTurn> turns = [new(ChatRole.System, generator.SystemPrompt)];
            for (int i = 0; i < 40; i++)
            {
                ScriptedTurn turn = generator.Next();
                expected += Text(ChatFormat.Turn(turn, i));
                Add(turns, turn);
            }

            Render(turns, generator.Tools, addGenerationPrompt: false).ShouldBe(expected);
            Render(turns, generator.Tools, addGenerationPrompt: true).ShouldBe(expected + "<|im_start|>assistant\n");
        }
    }

    private static void Add(List<ChatTurn> turns, ScriptedTurn turn)
    {
        turns.Add(new(ChatRole.User, turn.UserText));
        foreach (IReadOnlyList<ScriptedCall> round in turn.Rounds)
        {
            turns.Add(new(ChatRole.Assistant, "")
            {
                ToolCalls = [.. round.Select((c, i) => new ToolCall($"call_{turns.Count}_{i}", c.Name, c.ArgumentsJson))],
            });
            ToolCall[] calls = [.. turns[^1].ToolCalls];
            for (int i = 0; i < calls.Length; i++)
                turns.Add(new(ChatRole.Tool, round[i].Result) { ToolCallId = calls[i].Id, Name = calls[i].Name });
        }

        turns.Add(new(ChatRole.Assistant, turn.Answer));
    }

    private static string Render(List<ChatTurn> turns, IReadOnlyList<DemoTool> tools, bool addGenerationPrompt)
    {
        var template = new ChatTemplate(ChatFormat.Template, new Dictionary<string, string>());
        IReadOnlyList<PromptSegment> segments = template.Render(turns, [.. tools.Select(t => new ToolDefinition(t.Name, t.Description, t.Schema))],
            addGenerationPrompt, new Dictionary<string, JsonElement>(), TimeProvider.System);
        return string.Concat(segments.Select(s => s.Text));
    }

    private static string Text(IEnumerable<DialoguePiece> pieces) => string.Concat(pieces.Select(p => p.Text));
}
