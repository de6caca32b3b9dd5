using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Divergence;

/// <summary>Stored results that belong together: of one model, kind of text and length.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Text">The kind of text.</param>
/// <param name="Tokens">Tokens of each text.</param>
/// <param name="Methods">Of each method, by its id, one result for each text.</param>
internal sealed record DivergenceGroup(string Model, string Text, int Tokens, Dictionary<string, List<DivergenceResult>> Methods)
{
    /// <summary>The last stored of everything under a matching: of a model its last files, of a method its last options.</summary>
    public static List<DivergenceGroup> Of(ResultStore store, ByteMatching matching) =>
    [
        .. store.All<DivergenceResult>(DivergenceEvaluation.Command)
            .Where(u => u.Key.Matching() == matching)
            .GroupBy(u => u.Key.Model)
            .SelectMany(model => model.Where(u => u.Key.Fingerprint == model.Last().Key.Fingerprint))
            .GroupBy(u => (u.Key.Model, Text: TextKind(u.Key.Settings), Tokens: u.Value.Kl.Count + 1))
            .Select(g => new DivergenceGroup(
                g.Key.Model, g.Key.Text, g.Key.Tokens,
                g.GroupBy(u => u.Key.Method).ToDictionary(
                    m => m.Key, m => m.Where(u => u.Key.Parameters == m.Last().Key.Parameters).Select(u => u.Value).ToList())))
            .OrderBy(g => g.Model, StringComparer.Ordinal).ThenBy(g => g.Text, StringComparer.Ordinal).ThenBy(g => g.Tokens),
    ];

    // "v1 dialogue 7 (1024 tokens, 0123abcd)": dialogue.
    private static string TextKind(string settings) => settings.Split(' ')[1];
}
