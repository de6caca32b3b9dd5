using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Methods;

/// <summary>A method's results in one comparison.</summary>
/// <param name="Id">The method's id.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="Results">Its results.</param>
internal sealed record MethodResults<T>(string Id, string Parameters, IReadOnlyList<T> Results)
{
    /// <summary>For tables and charts.</summary>
    public string Label => MethodNames.Label(Id);

    /// <summary>Its window; null if it has none.</summary>
    public int? Window => MethodNames.Window(Parameters);

    /// <summary>Groups stored results by their methods, in the catalog's order.</summary>
    public static List<MethodResults<T>> Of(IEnumerable<(ResultKey Key, T Value)> results) =>
    [
        .. results.GroupBy(r => (r.Key.Method, r.Key.Parameters)).OrderBy(g => MethodNames.Order(g.Key.Method))
            .Select(g => new MethodResults<T>(g.Key.Method, g.Key.Parameters, [.. g.Select(r => r.Value)])),
    ];
}
