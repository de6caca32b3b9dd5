using System.Text;
using Spectre.Console;

namespace Agents.Display;

/// <summary>Where the sample writes: a terminal with colours and a live view, or plain text.</summary>
internal sealed class Terminal
{
    // Plain text is for files and pipes: whoever reads it wraps it.
    private const int PlainWidth = 10_000;

    private const int LeastLiveWidth = 40;
    private const int LeastLiveHeight = 16;

    private Terminal(IAnsiConsole console, bool isPlain) => (Console, IsPlain) = (console, isPlain);

    public IAnsiConsole Console { get; }

    /// <summary>No escape sequences at all.</summary>
    public bool IsPlain { get; }

    /// <summary>A part of the screen can be drawn again and again.</summary>
    public bool IsLive => !IsPlain && Console.Profile.Width >= LeastLiveWidth && Console.Profile.Height >= LeastLiveHeight;

    /// <summary>A terminal if the standard output is one; plain text otherwise, or where it is asked for.</summary>
    public static Terminal Open(bool noColor)
    {
        bool plain = noColor || System.Console.IsOutputRedirected || Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 };
        if (!plain)
        {
            IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings());
            if (console.Profile.Capabilities.Ansi)
                return new(console, false);
        }

        return Plain(System.Console.Out);
    }

    /// <summary>Plain text to a writer.</summary>
    public static Terminal Plain(TextWriter writer)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        console.Profile.Width = PlainWidth;
        return new(console, true);
    }

    /// <summary>A remark of the program itself, on lines of its own.</summary>
    public void Note(string text) => Console.Write(new Text(Printable(text) + "\n", new Style(Color.Yellow)));

    /// <summary>Shows that something takes a while, where that can be taken away again.</summary>
    public Task<T> WaitAsync<T>(string what, Func<Task<T>> work) =>
        IsPlain ? work() : Console.Status().Spinner(Spinner.Known.Dots).StartAsync(what, _ => work());

    /// <summary>Makes the cursor visible again, if the program ends while it draws.</summary>
    public void Restore()
    {
        if (!IsPlain)
            Console.Cursor.Show();
    }

    /// <summary>Writes as it is: neither markup nor wrapping.</summary>
    public void Raw(string text)
    {
        Console.Profile.Out.Writer.Write(text);
        Console.Profile.Out.Writer.Flush();
    }

    /// <summary>What a model wrote, without control characters, with which it could take over the terminal.</summary>
    public static string Printable(string text)
    {
        if (!text.Any(IsControl))
            return text;
        var printable = new StringBuilder(text.Length);
        foreach (char c in text)
            printable.Append(IsControl(c) ? '\uFFFD' : c);
        return printable.ToString();
    }

    private static bool IsControl(char c) => char.IsControl(c) && c is not ('\n' or '\t');
}
