namespace LocalLlm.Evaluation.Report;

/// <summary>The parts of a written page that begin with a heading of level 2.</summary>
internal static class PageSections
{
    private const string Start = "## ";

    /// <summary>A page with one section written anew, the rest left as it is.</summary>
    /// <param name="page">The page.</param>
    /// <param name="title">The section's heading.</param>
    /// <param name="section">The new section, heading and all.</param>
    /// <param name="order">All headings in the page's order: a section that the page has not yet comes before the next that it has.</param>
    public static string Replace(string page, string title, string section, IEnumerable<string> order)
    {
        var parts = Split(page);
        var at = parts.FindIndex(p => IsOf(p, title));
        if (at >= 0)
        {
            parts[at] = section;
        }
        else
        {
            var later = order.SkipWhile(t => t != title).Skip(1);
            var next = later.Select(t => parts.FindIndex(p => IsOf(p, t))).FirstOrDefault(i => i >= 0, parts.Count);
            parts.Insert(next, section);
        }

        return string.Join('\n', parts.Select(p => p.TrimEnd('\n') + "\n"));
    }

    // What is before the first heading, then each section.
    private static List<string> Split(string page)
    {
        List<string> parts = [];
        foreach (var line in page.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n'))
        {
            if (parts.Count == 0 || line.StartsWith(Start, StringComparison.Ordinal))
                parts.Add(line + "\n");
            else
                parts[^1] += line + "\n";
        }

        return parts;
    }

    private static bool IsOf(string part, string title) => part.StartsWith($"{Start}{title}\n", StringComparison.Ordinal);
}
