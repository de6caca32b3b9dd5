using System.Globalization;

namespace LocalLlm.Evaluation;

/// <summary>How much work an evaluation does.</summary>
internal enum RunSize
{
    /// <summary>All evaluations together in less than five minutes on two cores.</summary>
    Quick,

    /// <summary>What the report is made from.</summary>
    Normal,

    /// <summary>More seeds and longer texts.</summary>
    Full,
}

/// <summary>
/// The command line: a command, then options in any order. An option that is followed by another one, or by nothing, is a flag.
/// </summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string?> options = [];
    private readonly HashSet<string> used = [];

    /// <summary>Reads a command line.</summary>
    /// <exception cref="ArgumentException">It is wrong.</exception>
    public Arguments(string[] args)
    {
        Command = args.FirstOrDefault() ?? "";
        WantsHelp = args.Any(a => a is "--help" or "-h") || Command == "help";
        if (WantsHelp)
            return;
        for (var i = 1; i < args.Length; i++)
        {
            if (!args[i].StartsWith("--", StringComparison.Ordinal) || args[i].Length == 2)
                throw new ArgumentException($"What is '{args[i]}'? Options begin with --.");
            var name = args[i][2..];
            var value = i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal) ? args[++i] : null;
            if (!options.TryAdd(name, value))
                throw new ArgumentException($"--{name} is given twice; once is enough.");
        }

        Json = Flag("json");
        Size = (Flag("quick"), Flag("full")) switch
        {
            (true, true) => throw new ArgumentException("--quick and --full exclude each other."),
            (true, _) => RunSize.Quick,
            (_, true) => RunSize.Full,
            _ => RunSize.Normal,
        };
        Threads = Number("threads", Environment.ProcessorCount, most: 1024);
        Results = Text("results") ?? Path.Combine("artifacts", "evaluation");
    }

    /// <summary>The first argument.</summary>
    public string Command { get; } = "";

    /// <summary>True for --help.</summary>
    public bool WantsHelp { get; }

    /// <summary>Tables as JSON.</summary>
    public bool Json { get; }

    /// <summary>--quick, --full or neither.</summary>
    public RunSize Size { get; } = RunSize.Normal;

    /// <summary>Threads of ours and of torch.</summary>
    public int Threads { get; } = 1;

    /// <summary>The folder of the stored results.</summary>
    public string Results { get; } = "";

    /// <summary>One of three by the run's size.</summary>
    public T BySize<T>(T quick, T normal, T full) => Size switch { RunSize.Quick => quick, RunSize.Full => full, _ => normal };

    /// <summary>True if the flag is given. An option may be asked for by several evaluations.</summary>
    public bool Flag(string name)
    {
        if (!Take(name, out var value))
            return false;
        return value is null ? true : throw new ArgumentException($"--{name} takes no value, got '{value}'.");
    }

    /// <summary>The option's text; null if it is not given.</summary>
    public string? Text(string name)
    {
        if (!Take(name, out var value))
            return null;
        return value ?? throw new ArgumentException($"--{name} needs a value.");
    }

    /// <summary>Texts separated by commas; null if the option is not given.</summary>
    public string[]? List(string name)
    {
        if (Text(name) is not { } text)
            return null;
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        return parts.All(p => p.Length > 0) ? parts : throw new ArgumentException($"--{name} has an empty entry: '{text}'.");
    }

    /// <summary>Numbers separated by commas.</summary>
    public int[] Numbers(string name, int[] byDefault, int least = 1, int most = int.MaxValue)
    {
        if (List(name) is not { } parts)
            return byDefault;
        var limits = $"whole numbers from {least} {(most == int.MaxValue ? "on" : $"to {most}")}";
        return
        [
            .. parts.Select(part =>
                int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most
                    ? number
                    : throw new ArgumentException($"--{name} takes {limits}, separated by commas; got '{part}'.")),
        ];
    }

    /// <summary>One number.</summary>
    public int Number(string name, int byDefault, int least = 1, int most = int.MaxValue) =>
        Numbers(name, [byDefault], least, most) is [var number] ? number : throw new ArgumentException($"--{name} takes one number.");

    /// <summary>Throws if an option was given that nobody asked for.</summary>
    public void RequireNothingLeft()
    {
        if (options.Keys.FirstOrDefault(o => !used.Contains(o)) is { } unknown)
            throw new ArgumentException($"{Command} has no option --{unknown}.");
    }

    private bool Take(string name, out string? value)
    {
        used.Add(name);
        return options.TryGetValue(name, out value);
    }
}
