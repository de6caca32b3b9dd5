namespace LocalLlm.Chat.Jinja;

/// <summary>What a template may use while it is parsed and rendered, so that a hostile one ends in an error and not in a hang or a crash.</summary>
internal sealed record JinjaLimits
{
    public static JinjaLimits Default { get; } = new();

    /// <summary>UTF-16 units of the template's source.</summary>
    public int TemplateLength { get; init; } = 1 << 20;

    /// <summary>Expressions and statements nested in the source.</summary>
    public int ParseDepth { get; init; } = 150;

    /// <summary>Expressions, statements and calls nested while rendering.</summary>
    public int RenderDepth { get; init; } = 800;

    /// <summary>Expressions and statements evaluated; building strings and lists counts by their size.</summary>
    public long Steps { get; init; } = 20_000_000;

    /// <summary>UTF-16 units of one string, the rendered prompt included.</summary>
    public int StringLength { get; init; } = 1 << 24;

    /// <summary>UTF-16 units of all strings built while rendering.</summary>
    public long TotalStringLength { get; init; } = 1L << 29;

    /// <summary>Numbers in one <c>range</c>, as in Jinja2's own sandbox.</summary>
    public int RangeLength { get; init; } = 100_000;

    /// <summary>Elements of one list or tuple.</summary>
    public int ListLength { get; init; } = 1_000_000;

    /// <summary>Bits of one integer.</summary>
    public int IntegerBits { get; init; } = 4096;
}
