using System.Text.Json;
using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>A problem, or an example, of the data set's files.</summary>
/// <param name="Question">The problem.</param>
/// <param name="Answer">The worked answer.</param>
internal sealed record Gsm8kProblem(string Question, string Answer)
{
    /// <summary>The right number.</summary>
    public string Gold => AnswerExtraction.Gold(Answer)!;

    /// <summary>Reads problems: "question" and "answer" of each line, the answer with its number after "####".</summary>
    /// <exception cref="ArgumentException">The file is missing or wrong.</exception>
    public static List<Gsm8kProblem> Read(string path, string option) => JsonLines.Read(path, option, line =>
    {
        var problem = Example(line);
        return AnswerExtraction.Gold(problem.Answer) is null ? throw new JsonException("\"answer\" has no number after \"####\"") : problem;
    });

    /// <summary>Reads worked examples: "question" and "answer" of each line.</summary>
    /// <exception cref="ArgumentException">The file is missing or wrong.</exception>
    public static List<Gsm8kProblem> ReadExamples(string path, string option) => JsonLines.Read(path, option, Example);

    private static Gsm8kProblem Example(JsonElement line) => new(JsonLines.Text(line, "question"), JsonLines.Text(line, "answer"));
}
