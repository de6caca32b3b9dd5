namespace DemoModel.Dialogues;

/// <summary>What a scripted user turn asks of the model.</summary>
public enum TurnKind
{
    /// <summary>The user tells facts to remember.</summary>
    Tell,

    /// <summary>Chatter and long texts that only fill the context.</summary>
    SmallTalk,

    /// <summary>The user wants something that needs a tool.</summary>
    Tool,

    /// <summary>The user asks for facts told before.</summary>
    Recall,

    /// <summary>The user asks for a fact that was never told; the right answer says so.</summary>
    Unknown,
}

/// <summary>
/// A fact: "I gave {Name} {Value} as the {Attribute}". The value follows the name at once, so that a model with few layers can look it up by
/// the token before it.
/// </summary>
/// <param name="Attribute">For instance "locker code".</param>
/// <param name="Name">For instance "Mirvelo".</param>
/// <param name="Value">For instance "falcon-417" or "silver otter".</param>
public sealed record Fact(string Attribute, string Name, string Value)
{
    /// <summary>What the fact is about: "locker code for Mirvelo".</summary>
    public string Key => $"{Attribute} for {Name}";

    /// <summary>The fact as a sentence without subject and stop: "gave Mirvelo falcon-417 as the locker code".</summary>
    public string Statement => $"gave {Name} {Value} as the {Attribute}";
}

/// <summary>A tool call that the model should make, and what the tool then answers.</summary>
/// <param name="Name">The tool: "Stock-add".</param>
/// <param name="ArgumentsJson">The arguments, with ", " and ": " between them as the chat template writes them.</param>
/// <param name="Result">The tool's result.</param>
public sealed record ScriptedCall(string Name, string ArgumentsJson, string Result);

/// <summary>One user turn of a script with all that the model should do about it.</summary>
/// <param name="Kind">What it asks.</param>
/// <param name="UserText">What the user says.</param>
/// <param name="Answer">The model's answer, after the tool results if there are calls.</param>
public sealed record ScriptedTurn(TurnKind Kind, string UserText, string Answer)
{
    /// <summary>For <see cref="TurnKind.Tool"/>: the calls of the turn, in order, all made at once.</summary>
    public IReadOnlyList<ScriptedCall> Calls { get; init; } = [];

    /// <summary>
    /// For <see cref="TurnKind.Tell"/> the facts told, for <see cref="TurnKind.Recall"/> the facts asked for. A recall is right when the
    /// answer contains the <see cref="Fact.Value"/> of each.
    /// </summary>
    public IReadOnlyList<Fact> Facts { get; init; } = [];

    /// <summary>For <see cref="TurnKind.Recall"/>: how many turns ago each of <see cref="Facts"/> was last mentioned.</summary>
    public IReadOnlyList<int> DistanceTurns { get; init; } = [];

    /// <summary>For <see cref="TurnKind.Unknown"/>: a text that only a right answer contains.</summary>
    public string? ExpectedRefusal { get; init; }
}
