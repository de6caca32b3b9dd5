using System.Text.RegularExpressions;
using LocalLlm.Chat.Jinja;

namespace LocalLlm.Chat;

/// <summary>
/// Where templates disagree on what a message looks like. Nothing in a template declares it, so it is found by rendering a short
/// conversation each way and looking for what must appear.
/// </summary>
/// <param name="ArgumentsAsText">A tool call's arguments are JSON text instead of a dict.</param>
/// <param name="CallsWithoutContent">An assistant turn that only calls tools has the content none instead of an empty text.</param>
/// <param name="ContentAsParts">Content is a list of typed parts instead of a text.</param>
/// <param name="CallsInContent">
/// The form in which calls are written into the content, for a template that shows tools but no calls; else <see cref="ToolCallFormat.None"/>.
/// </param>
internal sealed partial record MessageShape(bool ArgumentsAsText, bool CallsWithoutContent, bool ContentAsParts, ToolCallFormat CallsInContent = ToolCallFormat.None)
{
    private const string UserText = "Tell0me1the2weather";
    private const string ToolName = "probe_tool";
    private const string ArgumentName = "probe_argument";
    private const string ArgumentValue = "probe_value";

    /// <summary>What the documentation of chat templates describes.</summary>
    public static MessageShape Plain { get; } = new(false, false, false);

    /// <summary>True if the template reads typed parts, so that plain text may not do.</summary>
    public static bool MayNeedParts(string source) => PartsPattern().IsMatch(source);

    /// <summary>True if the template expects the tools as JSON text in the system message, as Phi-4-mini's does.</summary>
    public static bool ReadsToolsFromSystemMessage(string source) => SystemToolsPattern().IsMatch(source);

    /// <summary>Finds the shape that a template needs.</summary>
    public static MessageShape Find(string source, Func<JinjaList, JinjaList?, IReadOnlyList<PromptSegment>> render)
    {
        var parts = MayNeedParts(source) && !Shows(render, Plain, withCall: false, UserText)
            && Shows(render, Plain with { ContentAsParts = true }, withCall: false, UserText);
        // A template that asks whether the content is none means something by it.
        var asksForNone = NonePattern().IsMatch(source);
        bool[] withoutContent = asksForNone ? [true, false] : [false, true];
        var candidates =
            from withParts in (bool[])(MayNeedParts(source) && !parts ? [false, true] : [parts])
            from asText in (bool[])[false, true]
            from none in withoutContent
            select new MessageShape(asText, none, withParts);
        if (candidates.FirstOrDefault(shape => ShowsCall(render, shape)) is { } found)
            return found;
        var fallback = new MessageShape(false, false, parts, ToolCallFormats.Detect(source));
        return ToolCallFormats.CanWrite(fallback.CallsInContent) && ShowsCall(render, fallback) ? fallback : new(false, false, parts);
    }

    private static bool Shows(Func<JinjaList, JinjaList?, IReadOnlyList<PromptSegment>> render, MessageShape shape, bool withCall, string text) =>
        TryRender(render, shape, withCall)?.Contains(text, StringComparison.Ordinal) == true;

    private static bool ShowsCall(Func<JinjaList, JinjaList?, IReadOnlyList<PromptSegment>> render, MessageShape shape)
    {
        if (TryRender(render, shape, withCall: true) is not { } prompt)
            return false;
        return prompt.Contains(UserText, StringComparison.Ordinal)
            && prompt.Contains(ToolName, StringComparison.Ordinal)
            && prompt.Contains(ArgumentValue, StringComparison.Ordinal)
            // The marks of a dict printed as Python's, and of JSON text written as JSON once more.
            && !prompt.Contains($"'{ArgumentName}'", StringComparison.Ordinal)
            && !prompt.Contains($"\\\"{ArgumentName}", StringComparison.Ordinal);
    }

    private static string? TryRender(Func<JinjaList, JinjaList?, IReadOnlyList<PromptSegment>> render, MessageShape shape, bool withCall)
    {
        var turns = new List<ChatTurn> { new(ChatRole.User, UserText) };
        if (withCall)
        {
            // Mistral's templates insist on ids of nine letters and digits.
            turns.Add(new(ChatRole.Assistant, "") { ToolCalls = [new("call12345", ToolName, $"{{\"{ArgumentName}\": \"{ArgumentValue}\"}}")] });
            turns.Add(new(ChatRole.Tool, "probe_result") { Name = ToolName, ToolCallId = "call12345" });
        }
        try
        {
            return string.Concat(render(ChatMessages.FromTurns(turns, shape), null).Select(s => s.Text));
        }
        catch (ChatTemplateException)
        {
            return null;
        }
    }

    [GeneratedRegex("""content\s*(\.content|['"]\s*\])?\s*(\)\s*)?is\s+(not\s+)?none""")]
    private static partial Regex NonePattern();

    [GeneratedRegex("""message(\[\s*['"]tools['"]\s*\]|\.tools\b)""")]
    private static partial Regex SystemToolsPattern();

    [GeneratedRegex("""\[\s*['"]type['"]\s*\]|\.type\s*==|content['"]?\]?\s*\[0\]|for\s+\w+\s+in\s+(message\[['"]content['"]\]|message\.content|content)\b""")]
    private static partial Regex PartsPattern();
}
