using System.Diagnostics;
using System.Text;
using LocalLlm.Sampling;
using LocalLlm.Sampling.Constraints;
using LocalLlm.Tokenization;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>Constrained decoding: what a mask and the step after it cost for each token, against sampling one token from the same logits.</summary>
internal sealed class ConstraintComparison(string? tokenizerFolder, int documents) : IComparison
{
    private const int SyntheticTokens = 150_000;

    public static ConstraintComparison Parse(Arguments arguments) => new(arguments.Text("tokenizer"), arguments.Number("documents", 20));

    public Table Run(Machine machine)
    {
        var (make, encode) = tokenizerFolder is null ? Synthetic() : Real(tokenizerFolder);
        make();
        var start = Stopwatch.GetTimestamp();
        var vocabulary = make();
        var table = new Table(
            $"constraints, {vocabulary.LogitCount} logits ({(tokenizerFolder is null ? "synthetic" : Path.GetFileName(Path.TrimEndingDirectorySeparator(tokenizerFolder)))}), "
            + $"vocabulary arranged in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms, one thread: {machine.Description}");
        var sampling = SamplingMicroseconds(vocabulary.LogitCount);
        foreach (var (name, grammar, text) in ConstraintCases.All)
        {
            // Once for the just-in-time compiler, then with empty caches.
            Generate(vocabulary, grammar, text, encode);
            var (compile, times) = Generate(vocabulary, grammar, text, encode);
            var all = times.SelectMany(t => t).Order().ToArray();
            table.Add(
                ("grammar", name), ("tokens", all.Length), ("compile_ms", compile), ("first_mask_ms", times[0][0] / 1000), ("first_document_us", times[0].Average()),
                ("mean_us", all.Average()), ("p99_us", all[(int)(0.99 * (all.Length - 1))]), ("max_us", all[^1]), ("mean_of_sampling", all.Average() / sampling));
        }

        return table;
    }

    /// <summary>Microseconds of mask and step, for each document and token; from a grammar that nobody has used.</summary>
    private (double CompileMs, List<double[]> Times) Generate(
        ConstraintVocabulary vocabulary, Func<GrammarNode> grammar, Func<Random, string> text, Func<string, int[]> encode)
    {
        var root = grammar();
        var start = Stopwatch.GetTimestamp();
        var compiled = CompiledGrammar.Create(root, vocabulary);
        var compile = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        var (random, logits, times) = (new Random(1), new float[vocabulary.LogitCount], new List<double[]>());
        for (var document = 0; document < documents; document++)
        {
            var written = text(random);
            var constraint = compiled.Start(continuesText: true);
            times.Add([.. encode(written).Select(id =>
            {
                Array.Clear(logits);
                var began = Stopwatch.GetTimestamp();
                constraint.Mask(logits);
                constraint.Accept(id);
                var time = Stopwatch.GetElapsedTime(began).TotalMicroseconds;
                return logits[id] == 0 ? time : throw new LocalLlmException($"The mask refuses token {id} in {written}");
            })]);
            if (!constraint.MayEnd)
                throw new LocalLlmException($"The grammar does not end after {written}");
        }

        return (compile, times);
    }

    /// <summary>Microseconds of sampling by the softmax, as a sequence does at each token.</summary>
    private static double SamplingMicroseconds(int count)
    {
        var random = new Random(1);
        var source = Enumerable.Range(0, count).Select(_ => 10 * random.NextSingle()).ToArray();
        var logits = new float[count];
        var sampler = new Sampler(SamplingSettings.Resolve(new SamplingOptions { Temperature = 1 }, new SamplingOptions()), []);
        return 1000 * Machine.Measure(5, () =>
        {
            source.CopyTo(logits, 0);
            sampler.Sample(logits);
        })[0];
    }

    private static (Func<ConstraintVocabulary>, Func<string, int[]>) Real(string folder)
    {
        var tokenizer = TextTokenizer.Load(folder);
        HashSet<int> endIds = tokenizer.EosId is { } id ? [id] : [];
        // As many logits as models of this size have: a multiple of 128.
        return (() => ConstraintVocabulary.Create(tokenizer, endIds, (tokenizer.VocabularySize + 127) / 128 * 128), tokenizer.Encode);
    }

    /// <summary>Bytes, words with and without a space, numbers, punctuation and pieces of other scripts, as byte-level tokenizers have them.</summary>
    private static (Func<ConstraintVocabulary>, Func<string, int[]>) Synthetic()
    {
        var random = new Random(1);
        var tokens = new Dictionary<string, int>();
        for (var value = 0; value < 256; value++)
            tokens.Add(Encoding.Latin1.GetString([(byte)value]), value);
        string[] marks = ["\"", "\":", "\",", "{\"", "\"}", " \"", "\\n", "\n", "  ", ",", ".", ":", "[", "]", "(", ")", "\\", "/", "-", "_"];
        while (tokens.Count < SyntheticTokens)
        {
            var word = string.Concat(Enumerable.Range(0, 1 + random.Next(9)).Select(_ => (char)('a' + (int)(26 * Math.Pow(random.NextDouble(), 1.5)))));
            var text = random.Next(10) switch
            {
                < 5 => " " + word,
                < 7 => word,
                7 => marks[random.Next(marks.Length)] + (random.Next(2) == 0 ? word : marks[random.Next(marks.Length)]),
                8 => string.Concat(Enumerable.Range(0, 1 + random.Next(3)).Select(_ => (char)random.Next(0x4E00, 0x9FFF))),
                _ => string.Concat(Enumerable.Range(0, 2 + random.Next(5)).Select(_ => (char)random.Next(0xC0, 0x500))),
            };
            tokens.TryAdd(Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text)), tokens.Count);
        }

        var bytes = tokens.OrderBy(t => t.Value).Select(t => (ReadOnlyMemory<byte>)Encoding.Latin1.GetBytes(t.Key)).Append(default).ToArray();
        var longest = tokens.Keys.Max(t => t.Length);
        bool[] isControl = [.. bytes.Select(b => b.Length == 0)];
        return (() => new ConstraintVocabulary(bytes, null, isControl, [SyntheticTokens], SyntheticTokens + 128), Encode);

        int[] Encode(string text)
        {
            var (rest, ids) = (Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text)), new List<int>());
            while (rest.Length > 0)
            {
                var length = Enumerable.Range(1, Math.Min(longest, rest.Length)).Last(n => tokens.ContainsKey(rest[..n]));
                ids.Add(tokens[rest[..length]]);
                rest = rest[length..];
            }

            return [.. ids];
        }
    }
}
