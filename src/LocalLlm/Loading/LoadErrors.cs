using System.Text;

namespace LocalLlm.Loading;

/// <summary>Collects everything that is wrong with a model folder. Keeps the first hundred entries and counts the rest, for a hostile file can have millions.</summary>
internal sealed class LoadErrors
{
    private const int MaxEntries = 100;
    private const int MaxQuotedLength = 120;
    private readonly List<string> entries = [];
    private long moreCount;

    /// <summary>True if something was wrong.</summary>
    public bool Any => entries.Count > 0;

    /// <summary>Adds an entry.</summary>
    public void Add(string entry)
    {
        if (entries.Count < MaxEntries)
            entries.Add(entry);
        else
            moreCount++;
    }

    /// <summary>Adds all entries of another list.</summary>
    public void Add(LoadErrors other)
    {
        foreach (var entry in other.entries)
            Add(entry);
        moreCount += other.moreCount;
    }

    /// <summary>All entries, the last one saying how many more there are.</summary>
    public IReadOnlyList<string> ToList() => moreCount == 0 ? [.. entries] : [.. entries, $"and {moreCount} more"];

    /// <summary>Throws if something was wrong.</summary>
    /// <exception cref="ModelLoadException">Lists all of it.</exception>
    public void ThrowIfAny(string path)
    {
        if (Any)
            throw new ModelLoadException(path, ToList());
    }

    /// <summary>A text from a file, in quotes, fit for a message: control characters escaped, an over-long one cut with its length told.</summary>
    public static string Quote(string text)
    {
        var quoted = new StringBuilder("'");
        foreach (var c in text.AsSpan(0, Math.Min(text.Length, MaxQuotedLength)))
            quoted.Append(char.IsControl(c) || char.IsSurrogate(c) ? $"\\u{(int)c:x4}" : c.ToString());
        return text.Length > MaxQuotedLength ? $"{quoted}…' ({text.Length} characters)" : $"{quoted}'";
    }
}
