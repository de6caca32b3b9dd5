namespace DemoModel.Dialogues;

/// <summary>
/// A fact: "We gave {Name} {Value} as the {Attribute}". The value follows the name at once, and a later value the one before it, so that a model
/// with few layers can look each up by the tokens before it.
/// </summary>
/// <param name="Attribute">For instance "locker code".</param>
/// <param name="Name">For instance "Mirvelo".</param>
/// <param name="Value">For instance "falcon-417" or "silver otter"; where it was changed, the value that counts now.</param>
public sealed record Fact(string Attribute, string Name, string Value)
{
    /// <summary>Values told before <see cref="Value"/>, oldest first.</summary>
    public IReadOnlyList<string> Earlier { get; init; } = [];

    /// <summary>True where <see cref="Earlier"/> values still hold beside <see cref="Value"/>; false where it replaced them.</summary>
    public bool KeepsEarlier { get; init; }

    /// <summary>What the fact is about: "locker code for Mirvelo".</summary>
    public string Key => $"{Attribute} for {Name}";

    /// <summary>The values as they are told: "falcon-417", "falcon-417, then maple-220" or "falcon-417, also maple-220".</summary>
    public string Values => string.Join(Joint, Earlier.Append(Value));

    /// <summary>The fact as a sentence without subject and stop: "gave Mirvelo falcon-417 as the locker code".</summary>
    public string Statement => $"gave {Name} {Values} as the {Attribute}";

    /// <summary>The last step as it is told: "falcon-417, then maple-220".</summary>
    internal string LastStep => $"{Earlier[^1]}{Joint}{Value}";

    private string Joint => KeepsEarlier ? ", also " : ", then ";

    /// <summary>The fact with one more value.</summary>
    public Fact With(string value, bool keepsEarlier) =>
        this with { Value = value, Earlier = [.. Earlier, Value], KeepsEarlier = keepsEarlier };

    /// <summary>
    /// True if an answer gives the fact: it holds <see cref="Value"/>, and no replaced value after it; where earlier values still hold, those too.
    /// </summary>
    public bool IsIn(string answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        int At(string value) => answer.LastIndexOf(value, StringComparison.OrdinalIgnoreCase);
        int at = At(Value);
        return at >= 0 && Earlier.All(e => KeepsEarlier ? At(e) >= 0 : At(e) < at);
    }
}
