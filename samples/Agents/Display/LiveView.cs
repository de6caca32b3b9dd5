using System.Diagnostics;
using System.Globalization;
using System.Text;
using Agents.Conversation;
using Agents.Scoring;
using LocalLlm;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Agents.Display;

/// <summary>
/// Shows a conversation on a terminal: finished turns scroll away above, the turn that is going on and a panel of figures are drawn again
/// and again below.
/// </summary>
/// <param name="terminal">Where to draw.</param>
/// <param name="model">Facts about the model.</param>
/// <param name="board">The score so far.</param>
/// <param name="turns">Turns of the script.</param>
internal sealed class LiveView(Terminal terminal, LlmModelInfo model, Scoreboard board, int turns) : IConversationView
{
    private static readonly TimeSpan FrameTime = TimeSpan.FromMilliseconds(50);

    private readonly List<(string Label, string Colour, string Text)> _lines = [];
    private readonly StringBuilder _reasoning = new();
    private readonly StringBuilder _answer = new();
    private readonly Stopwatch _sinceFrame = Stopwatch.StartNew();
    private LiveDisplayContext? _display;
    private RoundUsage? _round;
    private int _number;

    public Task RunAsync(Func<Task> conversation) =>
        terminal.Console.Live(new Drawing(Draw))
            .AutoClear(true).Overflow(VerticalOverflow.Crop).Cropping(VerticalOverflowCropping.Top)
            .StartAsync(async display =>
            {
                _display = display;
                display.Refresh();
                await conversation();
            });

    public void BeginTurn(int number, string userText)
    {
        _number = number;
        _lines.Add(("you", "aqua", userText));
        Refresh();
    }

    public void OnReasoning(string delta)
    {
        _reasoning.Append(delta);
        if (_sinceFrame.Elapsed > FrameTime)
            Refresh();
    }

    public void OnText(string delta)
    {
        EndReasoning();
        _answer.Append(delta);
        if (_sinceFrame.Elapsed > FrameTime)
            Refresh();
    }

    public void OnToolUse(ToolUse use)
    {
        EndAnswer();
        _lines.Add(("tool", "yellow", $"{use.Call} -> {use.Result}"));
        Refresh();
    }

    public void OnRound(RoundUsage usage)
    {
        _round = usage;
        Refresh();
    }

    public void EndTurn(AgentTurn turn, TurnScore score)
    {
        EndAnswer();
        if (turn.Answer.Length == 0)
            _lines.Add(("agent", "green", "(no answer)"));
        foreach (Verdict verdict in Verdict.Of(turn, score))
        {
            string colour = verdict.IsRight switch { true => "green", false => "red", _ => "yellow" };
            _lines.Add((verdict.IsRight switch { true => "right", false => "wrong", _ => "note" }, colour, verdict.Text));
        }

        Settle();
    }

    public void AbandonTurn()
    {
        EndAnswer();
        Settle();
    }

    /// <summary>Moves the turn from the live part to the text above it, which scrolls away.</summary>
    private void Settle()
    {
        Grid turn = Dialogue();
        _lines.Clear();

        // Writing while the live part is shown starts at its first line, which is empty, and draws it again below.
        terminal.Console.Write(new Rows(new EraseBelow(), turn));
    }

    private void EndReasoning()
    {
        if (_reasoning.Length > 0)
            _lines.Add(("think", "grey", _reasoning.ToString().Trim()));
        _reasoning.Clear();
    }

    private void EndAnswer()
    {
        EndReasoning();
        if (_answer.Length > 0)
            _lines.Add(("agent", "green", _answer.ToString()));
        _answer.Clear();
    }

    private void Refresh()
    {
        _sinceFrame.Restart();
        _display?.Refresh();
    }

    private Rows Draw() => new(new Text(""), Dialogue(), Figure());

    private Grid Dialogue()
    {
        var grid = new Grid();
        grid.AddColumn(new GridColumn().NoWrap().Padding(0, 0, 1, 0).Width(turns.ToString(CultureInfo.InvariantCulture).Length).RightAligned());
        grid.AddColumn(new GridColumn().NoWrap().Padding(0, 0, 1, 0).Width(5));
        grid.AddColumn(new GridColumn().Padding(0, 0, 0, 0));
        IEnumerable<(string, string, string)> lines = _answer.Length > 0 ? _lines.Append(("agent", "green", _answer.ToString()))
            : _reasoning.Length > 0 ? _lines.Append(("think", "grey", _reasoning.ToString()))
            : _lines;
        bool isFirst = true;
        foreach ((string label, string colour, string text) in lines)
        {
            grid.AddRow(
                new Text(isFirst ? _number.ToString(CultureInfo.InvariantCulture) : "", new Style(Color.Grey)),
                new Markup($"[{colour}]{label}[/]"),
                new Text(Terminal.Printable(text), label is "you" or "agent" ? Style.Plain : new Style(Color.Grey)));
            isFirst = false;
        }

        return grid;
    }

    private Panel Figure()
    {
        UsageTotals usage = board.Usage;
        RoundUsage round = _round ?? new();
        int width = Math.Min(terminal.Console.Profile.Width, 110);
        int bar = Math.Clamp(width - 62, 0, 40);
        var grid = new Grid();
        grid.AddColumn(new GridColumn().NoWrap().Padding(0, 0, 1, 0));
        if (bar > 0)
            grid.AddColumn(new GridColumn().NoWrap().Padding(0, 0, 1, 0).Width(bar));
        grid.AddColumn(new GridColumn().Padding(0, 0, 0, 0));
        Row(grid, "context", Bar(bar, round.ContextTokens, model.ContextTokens, "aqua"),
            $"{Figures.Of(round.ContextTokens, model.ContextTokens)} tokens");
        Row(grid, "KV cache", Bar(bar, round.KvBytes, round.KvBytesFp16, "green"),
            $"{Figures.Bytes(round.KvBytes)}; fp16 would hold {Figures.Bytes(round.KvBytesFp16)}");
        Row(grid, "cached", Bar(bar, round.CachedPromptTokens, round.PromptTokens, "blue"),
            $"{Figures.Of(round.CachedPromptTokens, round.PromptTokens)} prompt tokens");
        Row(grid, "speed", null,
            $"first token {Figures.Milliseconds(round.TimeToFirstToken.TotalMilliseconds)}, {Figures.Rate(usage.DecodeTokensPerSecond)} tokens/s");
        Row(grid, "right", null,
            $"recall {Figures.Of(board.RecallRight, board.RecallAsked)}, tool calls {Figures.Of(board.CallsRight, board.CallsExpected)}");
        return new Panel(grid)
        {
            Header = new PanelHeader($" turn {Math.Max(_number, 1)} of {turns} "),
            Border = BoxBorder.Rounded,
            BorderStyle = new Style(Color.Grey),
            Padding = new Padding(1, 0),
            Width = width,
        };
    }

    private static void Row(Grid grid, string label, IRenderable? bar, string text)
    {
        if (grid.Columns.Count == 3)
            grid.AddRow(new Markup($"[grey]{label}[/]"), bar ?? new Text(""), new Text(text));
        else
            grid.AddRow(new Markup($"[grey]{label}[/]"), new Text(text));
    }

    private Markup? Bar(int width, long part, long whole, string colour)
    {
        if (width == 0)
            return null;
        int filled = whole > 0 ? (int)Math.Clamp(Math.Round((double)width * part / whole), part > 0 ? 1 : 0, width) : 0;
        (char full, char empty) = terminal.Console.Profile.Capabilities.Unicode ? ('█', '░') : ('#', '.');
        return new Markup($"[{colour}]{new string(full, filled)}[/][grey]{new string(empty, width - filled)}[/]");
    }

    /// <summary>Clears the screen from the cursor on, so that nothing of the live part stays beside shorter lines.</summary>
    private sealed class EraseBelow : Renderable
    {
        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) => [Segment.Control("\u001b[0J")];
    }

    /// <summary>Draws what there is at the moment of drawing.</summary>
    private sealed class Drawing(Func<IRenderable> draw) : Renderable
    {
        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) => draw().Render(options, maxWidth);
    }
}
