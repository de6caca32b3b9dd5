using System.Globalization;

namespace LocalLlm.Benchmarks;

/// <summary>The command line: a command, then options in any order.</summary>
internal sealed class Arguments
{
    public const string Help = """
        Usage: LocalLlm.Benchmarks COMMAND [options]     (dotnet run -c Release --project tests/LocalLlm.Benchmarks -- COMMAND [options])

          attention [--tokens 4096,16384,65536] [--head-dim 128,64] [--queries 1] [--path Vector512] [--rounds 10] [--slow-key-bits 3]
                      attention over pages of 2 bits, slow keys at more, against torch over the same tokens in bf16 and float32, and against reading the packed bytes
          linear [--rows 1] [--type bf16] [--rounds 8]
                      a few rows times a weight matrix against torch, and against reading the weights
          quantize [--head-dim 128,64] [--rounds 10]
                      quantise-and-pack of a page
          constraints [--tokenizer DIR] [--documents 20]
                      constrained decoding: mask and step of each token, in microseconds and against sampling one; a synthetic vocabulary of 150,000 by default
          decode [--depth 0,4096,16384,32768] [--prefill 512] [--prefill-depth 0,4096] [--layers 16] [--steps 16] [--torch 1]
                      a random-weight model of Llama-3.2-1B's shape: tokens per second with a dense and a LogQuant cache, and where the time goes
          batch [--conversations 2,4,8,16] [--depth 4096] [--layers 16] [--steps 16]
                      the same model: a decode step of several conversations in turns with one of a single conversation
          serve [--contexts 1024,8192,32768] [--conversations 1,2,4,8,16] [--budget 2GiB] [--turn 64] [--answer 32] [--layers 16] [--shape 1b]
                [--device cpu] [--quick]
                      the same model, or one of Llama-3.1-8B's shape (8b), behind the engine's loop: many conversations side by side, dense and LogQuant caches in the same budget of bytes;
                      --quick is a short run of a small model
          reuse [--tokens 16384] [--turn 64] [--chunk 512] [--layers 16] [--rounds 5]
                      a follow-up turn of a long conversation from the retained cache, a fork and the spill directory, against recomputing it
          gpu [--sections attention,quantise] [--batches 8,1] [--tokens 32768,131072] [--rounds 20]
                      the CUDA kernels, 32 query heads over 8 KV heads of 128 channels: attention of that many sequences of that many tokens against torch in bf16,
                      quantise-and-pack, and both against copying memory; ends with 2 where there is no GPU
          sizing      model x budget x context -> conversations, as docs/hosting.md has it; measures nothing
          soak [--minutes 10] [--seed N] [--conversations 200] [--memory-mb 6] [--model DIR]
                      hundreds of conversations of random shape in memory for a few, round after round: every answer is the one alone, and nothing is left
          fuzz [--minutes 10] [--seed N] [--only NAME] [--model DIR]
                      messages, schemas, settings, model folders and spill files, changed at random: no crash, no hang
          micro ...   BenchmarkDotNet; its own options follow

        --json          one JSON array
        --threads N     threads of ours and of torch (one a core)
        """;

    private readonly Dictionary<string, string> options = [];

    public Arguments(string[] args)
    {
        Command = args.FirstOrDefault() ?? "";
        Rest = args.Length > 0 ? args[1..] : [];
        if (Command == "micro")
            return;
        for (var i = 0; i < Rest.Length; i++)
        {
            if (Rest[i] == "--json")
                Json = true;
            else if (Rest[i] is "--help" or "-h")
                WantsHelp = true;
            else if (Rest[i].StartsWith("--", StringComparison.Ordinal))
                options[Rest[i][2..]] = i + 1 < Rest.Length && !Rest[i + 1].StartsWith("--", StringComparison.Ordinal) ? Rest[++i] : "";
            else
                throw new ArgumentException($"What is '{Rest[i]}'?");
        }

        WantsHelp |= Command is "--help" or "-h" or "help";
        Threads = Number("threads", Environment.ProcessorCount, most: 1024);
    }

    public string Command { get; }

    public string[] Rest { get; }

    public bool Json { get; }

    public bool WantsHelp { get; }

    public int Threads { get; }

    /// <summary>Numbers separated by commas, each from <paramref name="least"/> on and a multiple of <paramref name="multipleOf"/>.</summary>
    public int[] Numbers(string name, int[] byDefault, int least = 1, int multipleOf = 1, int most = int.MaxValue)
    {
        if (!options.Remove(name, out var text))
            return byDefault;
        var limits = $"whole numbers from {least} on" + (multipleOf > 1 ? $", multiples of {multipleOf}" : "");
        return
        [
            .. text.Split(',').Select(part =>
                int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most && number % multipleOf == 0
                    ? number
                    : throw new ArgumentException($"--{name} takes {limits}, separated by commas; got '{part}'.")),
        ];
    }

    /// <summary>One number.</summary>
    public int Number(string name, int byDefault, int least = 1, int most = int.MaxValue) => Numbers(name, [byDefault], least, most: most) is [var number]
        ? number
        : throw new ArgumentException($"--{name} takes one number.");

    public string? Text(string name) => options.Remove(name, out var text) ? text : null;

    /// <summary>Whether an option is there that takes no value.</summary>
    public bool Flag(string name) => options.Remove(name, out var text)
        && (text.Length == 0 ? true : throw new ArgumentException($"--{name} takes no value; got '{text}'."));

    public void RequireNothingLeft()
    {
        if (options.Count > 0)
            throw new ArgumentException($"{Command} has no option --{options.Keys.First()}.");
    }
}
