using System.Globalization;
using System.Text;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Sizing;

/// <summary>How many conversations fit a budget of bytes, by the arithmetic with which the engine admits them. No memory is taken.</summary>
internal static class SizingTable
{
    /// <summary>The command that writes the table.</summary>
    public const string Command = "sizing";

    private const long GiB = 1L << 30;

    private static readonly (string Name, int Layers, int KvHeads, int HeadDim)[] Models =
        [("Llama-3.1-8B", 32, 8, 128), ("Qwen3-8B", 36, 8, 128), ("Phi-3-mini", 32, 32, 96), ("Llama-3.2-1B", 16, 8, 64)];

    private static readonly int[] Contexts = [8, 32, 128]; // of 1,024 tokens
    private static readonly long[] Budgets = [4, 16, 48]; // GiB

    /// <summary>The most conversations of so many tokens each that run side by side.</summary>
    /// <param name="caches">Of the kind and the shape.</param>
    /// <param name="budget">Bytes of all caches.</param>
    /// <param name="tokens">Prompt and answer of each.</param>
    public static long Conversations(KvCacheFactory caches, long budget, int tokens)
    {
        // On its way to its length a cache may take more than it then holds; the last to come needs that beside all others.
        var (peak, held) = (caches.PeakBytesFor(tokens), caches.BytesFor(tokens));
        return peak > budget ? 0 : ((budget - peak) / held) + 1;
    }

    /// <summary>The table for docs/hosting.md.</summary>
    public static string ToMarkdown()
    {
        var text = new StringBuilder();
        text.Append("| model | budget |");
        foreach (var context in Contexts)
            text.Append(CultureInfo.InvariantCulture, $" {context}k: LogQuant | fp16 |");
        text.Append("\n|---|--:|").Insert(text.Length, "--:|", 2 * Contexts.Length).Append('\n');
        foreach (var (name, layers, kvHeads, headDim) in Models)
        {
            var shape = new KvShape(layers, kvHeads, headDim, ScalarType.Float16, CPU);
            var ours = new KvCacheFactory(new KvCacheOptions(), shape);
            var dense = new KvCacheFactory(new KvCacheOptions { Kind = KvCacheKind.Dense }, shape);
            Row(name, "one takes", (caches, tokens) => (caches.PeakBytesFor(tokens) / (double)GiB).ToString("F2", CultureInfo.InvariantCulture) + " GiB");
            foreach (var budget in Budgets)
                Row(name, $"{budget} GiB", (caches, tokens) => Conversations(caches, budget * GiB, tokens).ToString("N0", CultureInfo.InvariantCulture));

            void Row(string model, string what, Func<KvCacheFactory, int, string> cell)
            {
                text.Append(CultureInfo.InvariantCulture, $"| {model} | {what} |");
                foreach (var context in Contexts)
                    text.Append(CultureInfo.InvariantCulture, $" {cell(ours, 1024 * context)} | {cell(dense, 1024 * context)} |");
                text.Append('\n');
            }
        }

        return text.ToString();
    }
}
