namespace DemoModel.Dialogues;

/// <summary>What a scripted user turn asks of the model.</summary>
public enum TurnKind
{
    /// <summary>The user tells facts to remember, changes them, or pairs names.</summary>
    Tell,

    /// <summary>Chatter and long texts that only fill the context.</summary>
    SmallTalk,

    /// <summary>The user wants something that needs a tool.</summary>
    Tool,

    /// <summary>The user asks for facts told before.</summary>
    Recall,

    /// <summary>The user asks for what was never told, or for a tool that is not there; the right answer says so.</summary>
    Unknown,
}

/// <summary>What a question for a fact takes.</summary>
public enum RecallKind
{
    /// <summary>One value, told once.</summary>
    Plain,

    /// <summary>A row of digits, told once.</summary>
    Digits,

    /// <summary>A value that was changed: the last one counts.</summary>
    Changed,

    /// <summary>All values of several.</summary>
    Several,

    /// <summary>Two facts: whom a name is paired with, and that partner's value.</summary>
    OneHop,

    /// <summary>Three facts: the partner's partner's value.</summary>
    TwoHops,
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
    /// <summary>For <see cref="TurnKind.Tool"/>: the calls by round. Those of a round are made at once; the next round follows their results.</summary>
    public IReadOnlyList<IReadOnlyList<ScriptedCall>> Rounds { get; init; } = [];

    /// <summary>The calls of all rounds, in order.</summary>
    public IReadOnlyList<ScriptedCall> Calls => [.. Rounds.SelectMany(r => r)];

    /// <summary>
    /// For <see cref="TurnKind.Tell"/> the facts told, for <see cref="TurnKind.Recall"/> the facts asked for. A recall is right when
    /// <see cref="Fact.IsIn"/> holds for each.
    /// </summary>
    public IReadOnlyList<Fact> Facts { get; init; } = [];

    /// <summary>For <see cref="TurnKind.Recall"/>: what it takes; where it asks for several facts, that of the first.</summary>
    public RecallKind Recall { get; init; }

    /// <summary>For <see cref="TurnKind.Recall"/>: how many turns ago each of <see cref="Facts"/> was last mentioned.</summary>
    public IReadOnlyList<int> DistanceTurns { get; init; } = [];

    /// <summary>For <see cref="TurnKind.Unknown"/>: a text that only a right answer contains.</summary>
    public string? ExpectedRefusal { get; init; }
}
