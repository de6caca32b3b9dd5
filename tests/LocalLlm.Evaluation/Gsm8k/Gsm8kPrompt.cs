using System.Text;
using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>How a problem is put to the model.</summary>
internal sealed class Gsm8kPrompt
{
    private const string Instruction = "Solve this problem step by step. Write the final answer on the last line as \"#### \" "
        + "followed by the number alone, without a unit.\n\n";

    private readonly string? examples;

    private Gsm8kPrompt(string name, AnswerForm form, string? examples) => (Name, Form, this.examples) = (name, form, examples);

    /// <summary>Names it in stored results; the same name is the same prompt.</summary>
    public string Name { get; }

    /// <summary>The form in which answers are asked for.</summary>
    public AnswerForm Form { get; }

    /// <summary>True if the model's chat template is used.</summary>
    public bool IsChat => examples is null;

    private (string Question, string Answer) Labels => Form == AnswerForm.Hashes ? ("Question:", "Answer:") : ("Q:", "A:");

    /// <summary>A chat turn without examples.</summary>
    public static Gsm8kPrompt Chat() => new($"chat {FileHash.OfText(Instruction)}", AnswerForm.Hashes, null);

    /// <summary>Worked examples before the problem, as plain text.</summary>
    /// <exception cref="ArgumentException">The examples' answers end differently.</exception>
    public static Gsm8kPrompt WithExamples(IReadOnlyList<Gsm8kProblem> examples)
    {
        var form = AnswerExtraction.FormOf([.. examples.Select(e => e.Answer)]);
        var prompt = new Gsm8kPrompt("", form, "");
        var text = new StringBuilder();
        foreach (var example in examples)
            text.Append(prompt.Problem(example.Question)).Append(' ').Append(example.Answer.Trim()).Append("\n\n");
        return new($"{examples.Count} examples {FileHash.OfText(text.ToString())}", form, text.ToString());
    }

    /// <summary>The request for a problem.</summary>
    public GenerationRequest Request(string question, int maxTokens) => examples is null
        ? new() { Turns = [new(ChatRole.User, Instruction + question)], MaxTokens = maxTokens }
        : new() { Prompt = examples + Problem(question), MaxTokens = maxTokens, StopSequences = [Labels.Question] };

    private string Problem(string question) => $"{Labels.Question} {question.Trim()}\n{Labels.Answer}";
}
