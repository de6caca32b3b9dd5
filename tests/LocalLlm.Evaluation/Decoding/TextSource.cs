using System.Globalization;
using System.Security.Cryptography;
using DemoModel.Dialogues;
using DemoModel.Scoring;
using DemoModel.Tokenizer;
using DemoModel.Training;
using LocalLlm.Evaluation.Models;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Decoding;

/// <summary>Where a model's texts come from: a file, the demo model's held-out dialogues, or what the model itself writes.</summary>
internal static class TextSource
{
    private const int TuningSeed = 1_500_000_001;

    /// <summary>Texts of one length.</summary>
    /// <param name="model">The model.</param>
    /// <param name="file">
    /// A text file, cut into texts of the length; null for held-out dialogues where the model has the demo model's tokenizer, and for texts
    /// sampled from the model where it has not.
    /// </param>
    /// <param name="count">The most texts; a file may hold fewer.</param>
    /// <param name="tokens">The length of each.</param>
    /// <exception cref="ArgumentException">The file is missing or too short.</exception>
    public static IEnumerable<EvaluatedText> Texts(EvaluatedModel model, string? file, int count, int tokens)
    {
        if (file is not null)
            return OfFile(model, file, count, tokens);
        var encoder = DialogueEncoder(model);
        return Enumerable.Range(0, count).Select(i =>
            encoder is null ? Sampled(model, i, tokens) : Dialogue(encoder, ForcedScorer.Seed + i, tokens));
    }

    /// <summary>
    /// Texts to choose a model's options by: other ones than <see cref="Texts"/> gives, of names and values that the demo model's held-out dialogues have not. A file's
    /// are the same: what is chosen by it is to be judged by another.
    /// </summary>
    /// <exception cref="ArgumentException">The file is missing or too short.</exception>
    public static IEnumerable<EvaluatedText> TuningTexts(EvaluatedModel model, string? file, int count, int tokens)
    {
        if (file is not null)
            return OfFile(model, file, count, tokens);
        var encoder = DialogueEncoder(model);
        return Enumerable.Range(0, count).Select(i =>
            encoder is null ? Sampled(model, TuningSeed + i, tokens) : Dialogue(encoder, TuningSeed + i, tokens, Split.Training));
    }

    /// <summary>A dialogue of the demo model, a held-out one if not said otherwise, cut off at the length.</summary>
    public static EvaluatedText Dialogue(BytePairEncoder encoder, int seed, int tokens, Split split = Split.Test)
    {
        var generator = new DialogueGenerator(seed, split, ForcedScorer.DialogueOptions);
        var dialogue = new EncodedDialogue(encoder, generator);
        while (dialogue.Ids.Count < tokens)
            dialogue.Add(generator.Next());
        var ids = dialogue.Ids.Take(tokens).ToArray();
        var spans = dialogue.Spans.Where(s => s.Start < tokens)
            .Select(s => new WrittenSpan(s.Start, Math.Min(s.End, tokens), s.DistanceTokens));
        return new EvaluatedText(Name(split == Split.Test ? $"dialogue {seed}" : $"training dialogue {seed}", ids), ids, [.. spans]);
    }

    /// <summary>The demo model's tokenizer where this model has the same; null otherwise.</summary>
    public static BytePairEncoder? DialogueEncoder(EvaluatedModel model)
    {
        const string file = "tokenizer.json";
        var (own, demo) = (Path.Combine(model.Source.Folder, file), Path.Combine(ModelSource.DemoFolder, file));
        var isSame = File.Exists(own) && File.ReadAllBytes(own).AsSpan().SequenceEqual(File.ReadAllBytes(demo));
        return isSame ? BytePairEncoder.Load(ModelSource.DemoFolder) : null;
    }

    private static IEnumerable<EvaluatedText> OfFile(EvaluatedModel model, string file, int count, int tokens)
    {
        if (!File.Exists(file))
            throw new ArgumentException($"--text {file} does not exist.");
        var ids = model.Tokenizer.Encode(File.ReadAllText(file));
        var bos = model.Tokenizer is { AddsBos: true, BosId: { } id } ? new[] { id } : [];
        var own = tokens - bos.Length;
        if (ids.Length < own)
        {
            throw new ArgumentException($"--text {file} has {ids.Length} tokens for {model.Name}; at least {own} are needed. "
                + "Lower --tokens or give a longer text.");
        }

        return Enumerable.Range(0, Math.Min(count, ids.Length / own)).Select(i =>
        {
            int[] part = [.. bos, .. ids.Skip(i * own).Take(own)];
            return new EvaluatedText(Name($"{Path.GetFileName(file)} part {i + 1}", part), part, []);
        });
    }

    // Sampled with the distribution that the model has, through a cache in full precision.
    private static EvaluatedText Sampled(EvaluatedModel model, int seed, int tokens)
    {
        using var scope = NewDisposeScope();
        using var cache = new KvCache.DenseKvCache(model.Shape);
        var random = new Random(seed);
        List<int> ids = [model.Tokenizer.BosId ?? model.Decoder.Config.BosTokenId ?? 0];
        while (ids.Count < tokens)
        {
            using var stepScope = NewDisposeScope();
            var logits = TeacherForcing.Step(model, cache, [ids[^1]], allLogits: false);
            var sums = nn.functional.softmax(logits[0].to(ScalarType.Float64), 0).cumsum(0).data<double>().ToArray();
            var at = random.NextDouble() * sums[^1];
            ids.Add(Math.Min(Array.FindIndex(sums, s => s > at) is var found and >= 0 ? found : sums.Length - 1, sums.Length - 1));
        }

        return new EvaluatedText(Name($"sampled {seed}", ids), ids, []);
    }

    // With a hash of the tokens: a generator that has changed gives a dialogue of the same seed another name.
    private static string Name(string what, IReadOnlyList<int> ids)
    {
        var hash = SHA256.HashData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<int>(ids.ToArray()));
        return string.Create(CultureInfo.InvariantCulture, $"{what} ({ids.Count} tokens, {Convert.ToHexStringLower(hash)[..8]})");
    }
}
