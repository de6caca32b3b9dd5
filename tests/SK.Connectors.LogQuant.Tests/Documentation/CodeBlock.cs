using System.Text.RegularExpressions;

namespace SK.Connectors.LogQuant.Tests.Documentation;

/// <summary>A C# block of a document.</summary>
/// <param name="Document">The file's name.</param>
/// <param name="Line">The line of its first line of code.</param>
/// <param name="Code">The code.</param>
/// <param name="SkipReason">Why it is not compiled: the comment before it says so; null if it is.</param>
internal sealed partial record CodeBlock(string Document, int Line, string Code, string? SkipReason)
{
    /// <summary>All blocks of a document: fences with the language "csharp", at the start of a line.</summary>
    public static IEnumerable<CodeBlock> In(string document, string text)
    {
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i] != "```csharp")
                continue;
            int start = i + 1, end = Array.IndexOf(lines, "```", start);
            if (end < 0)
                throw new FormatException($"{document}({i + 1}): the block has no end");
            Match skip = SkipComment().Match(i > 0 ? lines[i - 1] : "");
            yield return new(document, start + 1, string.Join('\n', lines[start..end]), skip.Success ? skip.Groups[1].Value : null);
            i = end;
        }
    }

    [GeneratedRegex(@"^<!-- compile: skip (.+) -->$")]
    private static partial Regex SkipComment();
}
