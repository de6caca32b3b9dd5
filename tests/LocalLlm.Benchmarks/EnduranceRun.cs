using LocalLlm.Fuzz;
using LocalLlm.Soak;

namespace LocalLlm.Benchmarks;

/// <summary>The tests' soak and fuzzers by hand, for as long as is wanted.</summary>
internal static class EnduranceRun
{
    /// <summary>Runs the command to its end.</summary>
    /// <exception cref="SoakException">Something is wrong.</exception>
    public static async Task RunAsync(Arguments arguments)
    {
        var time = TimeSpan.FromMinutes(arguments.Number("minutes", 10, most: 100_000));
        var seed = arguments.Number("seed", Random.Shared.Next(), least: 0);
        var model = arguments.Text("model") ?? DemoModel();
        if (arguments.Command == "fuzz")
        {
            var only = arguments.Text("only");
            var fuzzers = FuzzRun.All().Where(f => only is null || f.Name == only).ToList();
            if (fuzzers.Count == 0)
                throw new ArgumentException($"--only takes one of {string.Join(", ", FuzzRun.All().Select(f => f.Name))}; got '{only}'.");
            arguments.RequireNothingLeft();
            foreach (var fuzzer in fuzzers)
                await new FuzzRun(model, Console.WriteLine).RunAsync(fuzzer, seed, inputs: 1, time / fuzzers.Count);
            return;
        }

        var soak = new SoakOptions
        {
            ModelPath = model,
            Seed = seed,
            Time = time,
            Threads = arguments.Threads,
            Conversations = arguments.Number("conversations", 200),
            MemoryBytes = (long)arguments.Number("memory-mb", 6) << 20,
            Log = Console.WriteLine,
        };
        arguments.RequireNothingLeft();
        await new ConversationSoak(soak).RunAsync();
    }

    private static string DemoModel()
    {
        for (var folder = new DirectoryInfo(Environment.CurrentDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "samples", "DemoModel", "model");
            if (File.Exists(Path.Combine(path, "config.json")))
                return path;
        }

        throw new ArgumentException("--model names a model folder; without it the command runs in the repository, whose sample model it takes.");
    }
}
