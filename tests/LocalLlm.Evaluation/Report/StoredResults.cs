using LocalLlm.Evaluation.Results;

namespace LocalLlm.Evaluation.Report;

/// <summary>Which stored results a report shows.</summary>
internal static class StoredResults
{
    /// <summary>
    /// Those of each model's files as they were when a result was stored last: a model that was replaced keeps its name, but its results
    /// are of the past.
    /// </summary>
    public static List<(ResultKey Key, T Value)> Newest<T>(this ResultStore store, string evaluation)
        where T : class
    {
        var results = store.All<T>(evaluation).ToList();
        var newest = results.GroupBy(r => r.Key.Model).ToDictionary(g => g.Key, g => g.Last().Key.Fingerprint);
        return [.. results.Where(r => r.Key.Fingerprint == newest[r.Key.Model])];
    }
}
