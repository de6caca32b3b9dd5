using System.Globalization;
using System.Text.Json;
using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>A sample of a task.</summary>
/// <param name="Fields">Its fields that are texts or numbers, for the prompt.</param>
/// <param name="Answers">The right answers.</param>
/// <param name="Classes">All classes of a classification; empty otherwise.</param>
/// <param name="Length">Its length in words, as the data set counts it; null where it is missing.</param>
internal sealed record LongBenchSample(IReadOnlyDictionary<string, string> Fields, string[] Answers, string[] Classes, int? Length)
{
    /// <summary>Reads a task's file.</summary>
    /// <exception cref="ArgumentException">The file is missing or wrong.</exception>
    public static List<LongBenchSample> Read(string path, string option) => JsonLines.Read(path, option, line =>
    {
        _ = (JsonLines.Text(line, "input"), JsonLines.Text(line, "context"));
        var answers = JsonLines.Texts(line, "answers") ?? throw new JsonException("\"answers\" is missing");
        if (answers.Length == 0)
            throw new JsonException("\"answers\" is empty");
        var fields = line.EnumerateObject().Where(p => p.Value.ValueKind is JsonValueKind.String or JsonValueKind.Number)
            .ToDictionary(p => p.Name, p => p.Value.ToString());
        var text = fields.GetValueOrDefault("length");
        int? length = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var words) ? words : null;
        return new LongBenchSample(fields, answers, JsonLines.Texts(line, "all_classes") ?? [], length);
    });
}
