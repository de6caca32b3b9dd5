using Agents.Conversation;
using Spectre.Console;

namespace Agents.Display;

/// <summary>Writes who says what, line by line, for scenes of several agents.</summary>
internal sealed class Transcript(Terminal terminal)
{
    private const int LabelWidth = 8;

    /// <summary>Something said or done as a whole.</summary>
    public void Line(string label, string colour, string text)
    {
        Label(label, colour);
        Continue(text);
        End();
    }

    /// <summary>Begins something that is said bit by bit.</summary>
    public void Label(string label, string colour) => terminal.Console.Markup($"[{colour}]{Markup.Escape(label.PadRight(LabelWidth))}[/]");

    /// <summary>More of it.</summary>
    public void Continue(string delta) =>
        terminal.Raw(Terminal.Printable(delta).Replace("\n", "\n" + new string(' ', LabelWidth), StringComparison.Ordinal));

    /// <summary>Its end.</summary>
    public void End() => terminal.Raw("\n");

    /// <summary>A tool call and its result.</summary>
    public void Tool(ToolUse use) => Line("tool", "yellow", $"{use.Call} -> {use.Result}");

    /// <summary>What an answer used.</summary>
    public void Usage(RoundUsage usage) => Line("usage", "grey",
        $"{Figures.Of(usage.CachedPromptTokens, usage.PromptTokens)} prompt tokens cached, "
        + $"KV {Figures.Bytes(usage.KvBytes)} (fp16 {Figures.Bytes(usage.KvBytesFp16)})");

    /// <summary>A remark between.</summary>
    public void Note(string text)
    {
        terminal.Raw("\n");
        terminal.Note(text);
        terminal.Raw("\n");
    }
}
