using LocalLlm.Evaluation.AttentionStudy;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Gsm8k;
using LocalLlm.Evaluation.LongBench;
using LocalLlm.Evaluation.Memory;
using LocalLlm.Evaluation.Perplexity;
using LocalLlm.Evaluation.Recall;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Tuning;

namespace LocalLlm.Evaluation;

/// <summary>The commands: each evaluation registers here with how its options are read.</summary>
internal static class Commands
{
    /// <summary>What --help prints.</summary>
    public const string Help = """
        Usage: LocalLlm.Evaluation COMMAND [options]     (dotnet run -c Release --project tests/LocalLlm.Evaluation -- COMMAND [options])

        Commands
          kl [--text FILE] [--sweep]
                                Kullback-Leibler divergence of the next token's distribution from the full-precision cache's;
                                --sweep tries the options' combinations and lists them by it
          memory                bytes of the caches of well-known models
          recall                right answers to questions for what was told before
          attention [--text FILE]
                                where the models look, what selections of tokens catch of it, and the error of attention outputs
          perplexity [--text FILE] [--stride N]
                                of each method; windows of --tokens tokens that slide by --stride over a file, each token counted once
          gsm8k --data FILE [--shots FILE] [--shot-count 8] [--limit N] [--max-tokens 512]
                                exact match on GSM8K's test.jsonl: as a chat turn, or after worked examples of a file like train.jsonl
          longbench --data DIR --config DIR [--tasks LIST] [--limit N] [--cut-middle]
                                LongBench's files TASK.jsonl, with the prompts and lengths of its dataset2prompt.json and
                                dataset2maxlen.json; a sample that does not fit the context is left out, or asked without its middle
          tune [--text FILE] [--write]
                                bits for each layer's pages at as many bytes as the default has, by divergence; --write puts them into the model
                                folder as kv_cache.json, which the engine then follows
          report [--out docs] [--only LIST]
                                docs/evaluation.md and its pictures from the stored results; --only writes the sections named (kl,
                                memory, perplexity, recall, peaks, attention, gsm8k, longbench) and leaves the rest of the page as it is
          all [--quick]         every evaluation but tune, one after the other; gsm8k and longbench where --gsm8k-data FILE and
                                --longbench-data DIR are given, the report where --out is

        --model FOLDER[,..]   model folders (the shipped demo model and its stress variant); FOLDER:stress is a folder's stress variant
        --stories FOLDER      one more model, without its stress variant
        --methods LIST        ids of methods, separated by commas; --methods help lists them
        --seeds N             texts of each setting
        --tokens N[,..]       lengths
        --quick, --full       less, more work
        --results DIR         where results are stored (artifacts/evaluation); what is stored there is not done again
        --json                the tables as JSON
        --device D            cpu, cuda, cuda:1 or auto: where gsm8k and longbench run (cpu)
        --concurrent N        requests side by side in gsm8k and longbench (1)
        --context N           their context in tokens (the model's)
        --threads N           threads of ours and of torch (one a core)
        """;

    /// <summary>Every evaluation, in the order in which <c>all</c> runs them.</summary>
    public static IReadOnlyList<(string Name, Func<Arguments, IEvaluation> Parse)> All { get; } =
    [
        ("kl", DivergenceEvaluation.Parse),
        ("memory", MemoryEvaluation.Parse),
        (AttentionEvaluation.Command, AttentionEvaluation.Parse),
        ("recall", RecallEvaluation.Parse),
        ("perplexity", PerplexityEvaluation.Parse),
        ("gsm8k", Gsm8kEvaluation.Parse),
        ("longbench", LongBenchEvaluation.Parse),
        (TuneEvaluation.Command, TuneEvaluation.Parse),
        ("report", ReportEvaluation.Parse),
    ];

    /// <summary>The evaluations of a command; empty if there is no such command.</summary>
    public static IReadOnlyList<IEvaluation> Parse(Arguments arguments) =>
        [.. All.Where(c => c.Name == arguments.Command || (arguments.Command == "all" && c.Name != TuneEvaluation.Command)).Select(c => c.Parse(arguments))];
}
