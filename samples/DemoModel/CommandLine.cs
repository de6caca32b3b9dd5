using System.Globalization;
using DemoModel.Dialogues;
using DemoModel.Scoring;
using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm;
using LocalLlm.Interop;
using TorchSharp;

namespace DemoModel;

/// <summary>The commands: show dialogues, train, export, score.</summary>
internal static class CommandLine
{
    private const string Help =
        """
        Makes the small model that ships with the sample.

        dotnet run -c Release --project samples/DemoModel -- COMMAND [OPTIONS]

        show    [--seed N] [--turns N] [--split training|test]     print a dialogue as the model sees it
        train   --out DIR [--tokens MILLIONS: 16] [--resume]       train; DIR gets checkpoints, stages.md, and the model in DIR/model
                [--seed N] [--threads N] [--type bfloat16|float32] [--micro TOKENS] [--muon RATE] [--adam RATE]
                [--length TOKENS: of every sequence, instead of the curriculum]
                [--quantize: see old tokens as a 2-bit cache holds them; an experiment, with --resume and more --tokens]
        export  --from DIR --out MODEL                             write the model folder of a training's last checkpoint
        score   [--model MODEL] [--dialogues N] [--tokens N]       recall by distance and tool calls over held-out dialogues
                [--kv none|dense|streaming|logquant] [--json FILE] [--wrong: show what is wrong]

        Without --model the model that ships is scored. --kv none runs the trainer's own network once over each dialogue; the others
        generate every answer through the engine and its cache. Training 16 million tokens takes about 75 minutes on two busy cores.
        """;

    /// <summary>Runs a command; 0 if it worked, 1 if it failed, 2 if the arguments are wrong.</summary>
    public static int Run(string[] arguments)
    {
        if (arguments.Length == 0 || arguments[0] is "--help" or "-h" or "help")
        {
            Console.WriteLine(Help);
            return arguments.Length == 0 ? 2 : 0;
        }

        try
        {
            var options = new Options(arguments);
            switch (arguments[0])
            {
                case "show":
                    Show(options);
                    break;
                case "train":
                    Train(options);
                    break;
                case "export":
                    Export(options);
                    break;
                case "score":
                    Score(options);
                    break;
                default:
                    throw new FormatException($"'{arguments[0]}' is no command; show, train, export and score are.");
            }

            return 0;
        }
        catch (FormatException error)
        {
            Console.Error.WriteLine($"{error.Message} See --help.");
            return 2;
        }
        catch (Exception error) when (error is IOException or InvalidDataException or UnauthorizedAccessException or LocalLlmException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }

    private static void Show(Options options)
    {
        Split split = options.Text("split", "test") switch
        {
            "training" => Split.Training,
            "test" => Split.Test,
            string other => throw new FormatException($"--split is '{other}'; it can be training or test."),
        };
        int seed = options.Integer("seed", 1, int.MinValue), turns = options.Integer("turns", 20, 1);
        options.Check();
        var generator = new DialogueGenerator(seed, split);
        IEnumerable<DialoguePiece> pieces = ChatFormat.System(generator.SystemPrompt, generator.Tools)
            .Concat(Enumerable.Range(0, turns).SelectMany(i => ChatFormat.Turn(generator.Next(), i)));
        Console.Write(string.Concat(pieces.Select(p => p.Text)));
    }

    private static void Train(Options options)
    {
        var training = new TrainerOptions
        {
            OutputFolder = options.Required("out"),
            Tokens = (long)(options.Number("tokens", 16) * 1_000_000),
            Resume = options.Flag("resume"),
            QuantizesPast = options.Flag("quantize"),
            Seed = options.Integer("seed", 1, 0),
            Threads = options.Integer("threads", Environment.ProcessorCount, 1),
            Compute = options.Text("type", "bfloat16") switch
            {
                "bfloat16" => torch.ScalarType.BFloat16,
                "float32" => torch.ScalarType.Float32,
                string other => throw new FormatException($"--type is '{other}'; it can be bfloat16 or float32."),
            },
            MicroBatchTokens = options.Integer("micro", 512, 1),
            FixedLength = options.Integer("length", 0, 0) is int length and > 0 ? length : null,
            MuonRate = options.Number("muon", 0.01),
            AdamRate = options.Number("adam", 0.004),
        };
        options.Check();
        Malloc.KeepFreedMemory();
        LibTorch.EnsureLoaded(null);
        new Trainer(training).Run();
    }

    private static void Export(Options options)
    {
        string from = options.Required("from"), to = options.Required("out");
        options.Check();
        LibTorch.EnsureLoaded(null);
        BytePairEncoder encoder = BytePairEncoder.Load(Path.Combine(from, "model"));
        using var network = new Network(new() { VocabularySize = encoder.Count }, torch.ScalarType.Float32, seed: 1);
        Safetensors.ReadInto(Path.Combine(from, "checkpoint.safetensors"), network.Weights);
        ModelFolder.Write(to, network, encoder);
        Console.WriteLine($"wrote {to}");
    }

    private static void Score(Options options)
    {
        string model = options.Text("model", Path.Combine(AppContext.BaseDirectory, "model"));
        int dialogues = options.Integer("dialogues", 500, 1), tokens = options.Integer("tokens", 4096, 512);
        string json = options.Text("json", "");
        bool wrong = options.Flag("wrong");
        string cache = options.Text("kv", "none");
        if (cache is not ("none" or "dense" or "logquant" or "streaming"))
            throw new FormatException($"--kv is '{cache}'; it can be none, dense, streaming or logquant.");
        options.Check();
        LibTorch.EnsureLoaded(null);
        Score score;
        if (cache == "none")
        {
            Malloc.KeepFreedMemory();
            BytePairEncoder encoder = BytePairEncoder.Load(model);
            using var network = new Network(new() { VocabularySize = encoder.Count }, torch.ScalarType.Float32, seed: 1);
            Safetensors.ReadInto(Path.Combine(model, "model.safetensors"), network.Weights);
            score = ForcedScorer.Score(network, encoder, dialogues, tokens, ForcedScorer.Seed, ForcedScorer.FarOptions, wrong ? Console.WriteLine : null);
        }
        else
        {
            KvCacheKind kind = cache switch { "dense" => KvCacheKind.Dense, "logquant" => KvCacheKind.LogQuant, _ => KvCacheKind.StreamingQuant };
            score = EngineScorer.ScoreAsync(model, kind, dialogues, tokens, ForcedScorer.Seed, wrong ? Console.WriteLine : null)
                .GetAwaiter().GetResult();
        }

        Console.WriteLine(score.Table);
        if (json.Length > 0)
            File.WriteAllText(json, score.Json);
    }

    /// <summary>Options as --name value pairs and flags; what is not read is an error.</summary>
    private sealed class Options
    {
        private readonly Dictionary<string, string?> _values = new(StringComparer.Ordinal);

        public Options(string[] arguments)
        {
            for (int i = 1; i < arguments.Length; i++)
            {
                if (!arguments[i].StartsWith("--", StringComparison.Ordinal))
                    throw new FormatException($"'{arguments[i]}' is not an option.");
                bool hasValue = i + 1 < arguments.Length && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal);
                if (!_values.TryAdd(arguments[i][2..], hasValue ? arguments[i + 1] : null))
                    throw new FormatException($"{arguments[i]} is given twice.");
                i += hasValue ? 1 : 0;
            }
        }

        public string Text(string name, string fallback) =>
            !_values.Remove(name, out string? value) ? fallback : value ?? throw new FormatException($"--{name} needs a value.");

        public string Required(string name) =>
            Text(name, "") is { Length: > 0 } value ? value : throw new FormatException($"--{name} is needed.");

        public bool Flag(string name) =>
            _values.Remove(name, out string? value) && (value is null ? true : throw new FormatException($"--{name} takes no value."));

        public int Integer(string name, int fallback, int least)
        {
            string text = Text(name, fallback.ToString(CultureInfo.InvariantCulture));
            return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= least
                ? value
                : throw new FormatException($"--{name} is '{text}'; it must be a whole number of at least {least}.");
        }

        public double Number(string name, double fallback)
        {
            string text = Text(name, fallback.ToString(CultureInfo.InvariantCulture));
            return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0
                ? value
                : throw new FormatException($"--{name} is '{text}'; it must be a number above 0.");
        }

        public void Check()
        {
            if (_values.Count > 0)
                throw new FormatException($"--{_values.Keys.First()} is no option of this command.");
        }
    }
}
