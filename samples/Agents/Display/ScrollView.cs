using Agents.Conversation;
using Agents.Scoring;
using LocalLlm;
using Spectre.Console;

namespace Agents.Display;

/// <summary>Writes a conversation line by line, answers as they come: for chats, and for output that is no terminal.</summary>
/// <param name="terminal">Where to write.</param>
/// <param name="model">Facts about the model.</param>
/// <param name="turns">Turns of the script; null in a chat.</param>
/// <param name="showUser">Repeat what the user says; false where the user has just typed it.</param>
internal sealed class ScrollView(Terminal terminal, LlmModelInfo model, int? turns, bool showUser) : IConversationView
{
    private const int LabelWidth = 7;

    private int _indent;
    private string? _streaming;

    public Task RunAsync(Func<Task> conversation) => conversation();

    public void BeginTurn(int number, string userText)
    {
        string heading = turns is { } all ? $"[{number}/{all}] " : "";
        _indent = heading.Length;
        _streaming = null;
        if (showUser)
            Line("you", "aqua", userText, heading);
    }

    public void OnReasoning(string delta) => Stream("think", "grey", delta);

    public void OnText(string delta) => Stream("agent", "green", delta);

    public void OnToolUse(ToolUse use)
    {
        EndStream();
        Line("tool", "yellow", $"{use.Call} -> {use.Result}");
    }

    public void OnRound(RoundUsage usage)
    {
    }

    public void EndTurn(AgentTurn turn, TurnScore score)
    {
        EndStream();
        if (turn.Answer.Length == 0)
            Line("agent", "green", "(no answer)");
        foreach (Verdict verdict in Verdict.Of(turn, score))
            Line(verdict.IsRight switch { true => "right", false => "wrong", _ => "note" }, verdict.IsRight switch { true => "green", false => "red", _ => "yellow" }, verdict.Text);
        Line("usage", "grey", $"{UsageLine.Memory(turn.Rounds[^1], model.ContextTokens)}, {UsageLine.Speed(turn)}");
    }

    public void AbandonTurn() => EndStream();

    private void Stream(string label, string colour, string delta)
    {
        if (_streaming != label)
        {
            EndStream();
            Label(label, colour, null);
            _streaming = label;
        }

        terminal.Raw(Indented(delta));
    }

    private void EndStream()
    {
        if (_streaming is not null)
            terminal.Raw("\n");
        _streaming = null;
    }

    private void Line(string label, string colour, string text, string? heading = null)
    {
        if (terminal.IsPlain)
        {
            Label(label, colour, heading);
            terminal.Raw(Indented(text) + "\n");
            return;
        }

        // A terminal breaks lines anywhere; here they break between words.
        var grid = new Grid();
        grid.AddColumn(new GridColumn().NoWrap().Padding(0, 0, 0, 0).Width(_indent + LabelWidth));
        grid.AddColumn(new GridColumn().Padding(0, 0, 0, 0));
        grid.AddRow(
            new Markup(LabelMarkup(label, colour, heading)),
            new Text(Terminal.Printable(text), label == "you" ? Style.Plain : new Style(Color.Grey)));
        terminal.Console.Write(grid);
    }

    private void Label(string label, string colour, string? heading) => terminal.Console.Markup(LabelMarkup(label, colour, heading));

    private string LabelMarkup(string label, string colour, string? heading) =>
        $"[grey]{Markup.Escape((heading ?? "").PadRight(_indent))}[/][{colour}]{label.PadRight(LabelWidth)}[/]";

    private string Indented(string text) => Terminal.Printable(text).Replace("\n", "\n" + new string(' ', _indent + LabelWidth), StringComparison.Ordinal);
}
