using System.Text;

namespace LocalLlm.Sampling;

/// <summary>
/// Finds the first stop sequence in a text that comes in pieces, also across their borders. Text that may be the beginning of a stop sequence is
/// held back until it is known not to be, so no part of one is ever released.
/// </summary>
internal sealed class StopMatcher(IReadOnlyList<string> stopSequences)
{
    private readonly StringBuilder held = new();

    /// <summary>True once a stop sequence was met; its text and all after it are dropped.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Takes more text and gives what can be released.</summary>
    public string Add(string text)
    {
        if (stopSequences.Count == 0)
            return text;
        if (IsStopped)
            return "";
        held.Append(text);
        var all = held.ToString();
        var first = stopSequences.Select(s => all.IndexOf(s, StringComparison.Ordinal)).Where(at => at >= 0).DefaultIfEmpty(-1).Min();
        if (first >= 0)
        {
            IsStopped = true;
            held.Clear();
            return all[..first];
        }

        var keep = stopSequences.Max(s => LongestStartAtEnd(all, s));
        held.Remove(0, all.Length - keep);
        return all[..^keep];
    }

    /// <summary>The end of the text: gives what was held back.</summary>
    public string Flush()
    {
        var rest = held.ToString();
        held.Clear();
        return rest;
    }

    /// <summary>The length of the longest proper beginning of <paramref name="stop"/> with which <paramref name="text"/> ends.</summary>
    private static int LongestStartAtEnd(string text, string stop)
    {
        for (var length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                return length;
        }

        return 0;
    }
}
