using System.Globalization;
using System.Text;
using LocalLlm;

namespace Agents.Options;

/// <summary>The command line: one table of options from which arguments are read and the help is written.</summary>
internal static class CommandLine
{
    private const int MaxTurns = 100_000;

    private static readonly Option[] Options =
    [
        new("--scene", "NAME", $"what to show: {string.Join(", ", SceneNames.All.Select(s => s.Name))}; list describes them",
            (o, v) => o with { Scene = Scene(v) }),
        new("--chat", null, "talk to the agent yourself, as --scene chat; /help lists its commands", (o, _) => o with { Chat = true }),
        new("--model", "DIR", "a Hugging Face model folder instead of the model that ships", (o, v) => o with { ModelPath = Text("--model", v) }),
        new("--kv", "KIND", "the KV cache: streaming (the default) or logquant (old tokens packed), or dense (uncompressed)", (o, v) => o with { Kv = Kv(v) }),
        new("--device", "NAME", "cpu, cuda, cuda:N or auto (the default: a GPU if there is one)", (o, v) => o with { Device = Device(v) }),
        new("--turns", "N", $"turns of the scripted conversation ({SampleOptions.DefaultTurns})", (o, v) => o with { Turns = Number("--turns", v, 1, MaxTurns) }),
        new("--seed", "N", "another script, and other samples where the model samples (1)", (o, v) => o with { Seed = Number("--seed", v, 0, int.MaxValue) }),
        new("--max-tokens", "N", "the most tokens of one answer (128 with the model that ships, else 1024)", (o, v) => o with { MaxTokens = Number("--max-tokens", v, 1, 1_000_000) }),
        new("--port", "N", "the port on 127.0.0.1 of --scene host; 0, the default, for any that is free",
            (o, v) => o with { Port = Number("--port", v, 0, 65_535) }),
        new("--json", null, "print the results as one JSON object, on the last line", (o, _) => o with { Json = true }),
        new("--no-color", null, "plain text: no colours, no live view (as when the output is no terminal)", (o, _) => o with { NoColor = true }),
        new("--help", null, "this text", (o, _) => o with { Help = true }),
    ];

    /// <summary>The text of <c>--help</c>.</summary>
    public static string Help
    {
        get
        {
            var help = new StringBuilder("""
                An agent on a local model: it plays a scripted conversation with tools, remembers what it was told far back, and shows
                what its KV cache holds against an uncompressed one. At the end a table says how much was recalled and called rightly.
                Other scenes show what else an agent on a local model can do.

                Usage: Agents [options]          (dotnet run -c Release --project samples/Agents -- [options])


                """);
            foreach (Option option in Options)
                help.AppendLine(CultureInfo.InvariantCulture, $"  {option.Name + (option.ValueName is { } value ? " " + value : ""),-17}{option.Help}");
            help.AppendLine().AppendLine("Scenes:").Append(SceneNames.List);
            help.Append("""

                Exit codes: 0 the conversation came to its end (also when the context was full before the last turn, which is then said);
                1 it failed, for instance because the model cannot be loaded; 2 the arguments are wrong; 130 cancelled with Ctrl-C.
                """);
            return help.ToString();
        }
    }

    /// <summary>Reads arguments: <c>--name value</c> or <c>--name=value</c>, each option at most once.</summary>
    /// <exception cref="CommandLineException">An argument is wrong.</exception>
    public static SampleOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new SampleOptions();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i] is "-h" or "-?" ? "--help" : arguments[i];
            int equals = argument.StartsWith("--", StringComparison.Ordinal) ? argument.IndexOf('=', StringComparison.Ordinal) : -1;
            string name = equals < 0 ? argument : argument[..equals];
            Option option = Array.Find(Options, o => o.Name == name) ?? throw Unknown(name);
            if (!seen.Add(name))
                throw new CommandLineException($"{name} is given twice");
            if (option.ValueName is null)
            {
                if (equals >= 0)
                    throw new CommandLineException($"{name} takes no value, but got '{argument[(equals + 1)..]}'");
                options = option.Apply(options, "");
                continue;
            }

            string value = equals >= 0 ? argument[(equals + 1)..]
                : i + 1 < arguments.Count && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal) ? arguments[++i]
                : throw new CommandLineException($"{name} needs a value: {name} {option.ValueName}");
            options = option.Apply(options, value);
        }

        if (options.Help)
            return options;
        if (options is { Chat: true, Scene: not null and not SceneNames.Chat })
            throw new CommandLineException($"--chat is the scene '{SceneNames.Chat}', but --scene is '{options.Scene}'; leave one out");
        if (options.Turns is not null && options.SceneName != SceneNames.Conversation)
            throw new CommandLineException("--turns belongs to the scripted conversation; leave it out with "
                + $"{(options.Chat ? "--chat" : $"--scene {options.Scene}")}");
        if (options.Port is not null && options.SceneName != SceneNames.Host)
            throw new CommandLineException($"--port belongs to --scene {SceneNames.Host}; leave it out with the scene '{options.SceneName}'");
        return options;
    }

    private static CommandLineException Unknown(string name)
    {
        if (!name.StartsWith('-'))
            return new($"'{name}' is no option; options begin with --");
        string start = name.TrimStart('-');
        Option? meant = start.Length == 0 ? null : Array.Find(Options, o =>
            o.Name.AsSpan(2).StartsWith(start, StringComparison.OrdinalIgnoreCase) || start.StartsWith(o.Name[2..], StringComparison.OrdinalIgnoreCase));
        return new($"unknown option '{name}'" + (meant is null ? "" : $"; did you mean {meant.Name}?"));
    }

    private static string Text(string name, string value) =>
        value.Length > 0 ? value : throw new CommandLineException($"{name} is empty");

    private static string Scene(string value) =>
        value == SceneNames.ListScenes || SceneNames.All.Any(s => s.Name == value)
            ? value
            : throw new CommandLineException($"--scene is '{value}'; use {string.Join(", ", SceneNames.All.Select(s => s.Name))}, "
                + "or list to have them described");

    private static KvCacheKind Kv(string value) => value switch
    {
        "streaming" => KvCacheKind.StreamingQuant,
        "logquant" => KvCacheKind.LogQuant,
        "dense" => KvCacheKind.Dense,
        _ => throw new CommandLineException($"--kv is '{value}'; use streaming, logquant or dense"),
    };

    private static string Device(string value) =>
        value is "cpu" or "cuda" or "auto"
        || (value.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(value.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out _))
            ? value
            : throw new CommandLineException($"--device is '{value}'; use cpu, cuda, cuda:N or auto");

    private static int Number(string name, string value, int min, int max) =>
        int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number >= min && number <= max
            ? number
            : throw new CommandLineException(string.Create(CultureInfo.InvariantCulture, $"{name} is '{value}'; use a whole number from {min} to {max}"));

    private sealed record Option(string Name, string? ValueName, string Help, Func<SampleOptions, string, SampleOptions> Apply);
}
