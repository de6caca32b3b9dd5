using System.Text.RegularExpressions;

namespace LocalLlm.Evaluation.Gsm8k;

/// <summary>How a worked answer ends.</summary>
internal enum AnswerForm
{
    /// <summary>"#### 18", as the data set's own answers.</summary>
    Hashes,

    /// <summary>"The answer is 18.", as in chain-of-thought prompts.</summary>
    TheAnswerIs,
}

/// <summary>
/// Finds the number in a worked answer and compares it, as lm-evaluation-harness defines its tasks gsm8k and gsm8k_cot: strict takes the
/// first
/// number in the form that was asked for, flexible the last number anywhere; then commas, dollar signs, what precedes "#### ", and a
/// full stop at the end do not count. Of "The answer is 18" without a full stop the harness takes 1; here it is 18.
/// </summary>
internal static partial class AnswerExtraction
{
    /// <summary>What stands for "there is none"; equal to no right answer.</summary>
    public const string None = "[invalid]";

    /// <summary>The number of a problem's own answer: what comes after the last "####".</summary>
    /// <returns>Null if there is none.</returns>
    public static string? Gold(string answer)
    {
        const string mark = "####";
        var at = answer.LastIndexOf(mark, StringComparison.Ordinal);
        return at >= 0 && answer[(at + mark.Length)..].Trim() is { Length: > 0 } gold ? gold : null;
    }

    /// <summary>The first number in the form.</summary>
    public static string Strict(string text, AnswerForm form)
    {
        var match = (form == AnswerForm.Hashes ? Hashes() : TheAnswerIs()).Match(text);
        return match.Success ? match.Groups[1].Value.Trim() : None;
    }

    /// <summary>The last number.</summary>
    public static string Flexible(string text) => Numbers().Matches(text) is [.., var last] ? last.Value.Trim() : None;

    /// <summary>True if an answer is the right one.</summary>
    public static bool IsRight(string found, string gold) => Normal(found).Equals(Normal(gold), StringComparison.OrdinalIgnoreCase);

    /// <summary>The form of examples' answers.</summary>
    /// <exception cref="ArgumentException">They have none, or not all the same.</exception>
    public static AnswerForm FormOf(IReadOnlyList<string> answers)
    {
        foreach (var form in Enum.GetValues<AnswerForm>())
        {
            if (answers.All(a => Strict(a, form) != None))
                return form;
        }

        throw new ArgumentException(
            "--shots: every example's answer must end with \"#### NUMBER\", or every one with \"The answer is NUMBER.\"");
    }

    private static string Normal(string text) => StopAtEnd().Replace(BeforeHashes().Replace(Ignored().Replace(text, ""), ""), "");

    [GeneratedRegex(@"#### (-?[0-9.,]+)")]
    private static partial Regex Hashes();

    [GeneratedRegex(@"The answer is (-?[0-9.,]+)")]
    private static partial Regex TheAnswerIs();

    [GeneratedRegex(@"-?[$0-9.,]{2,}|-?[0-9]+")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"[,$]")]
    private static partial Regex Ignored();

    [GeneratedRegex(@"^.*#### ", RegexOptions.Singleline)]
    private static partial Regex BeforeHashes();

    [GeneratedRegex(@"\.$")]
    private static partial Regex StopAtEnd();
}
