namespace DemoModel.Dialogues;

/// <summary>How often a dialogue does what. The weights are relative to each other.</summary>
public sealed record DialogueOptions
{
    /// <summary>Weight of turns that tell facts.</summary>
    public double Tell { get; init; } = 3;

    /// <summary>Weight of turns that change a fact or add a value to it.</summary>
    public double Change { get; init; } = 0.6;

    /// <summary>Weight of turns that pair a name with one that has a fact.</summary>
    public double Pair { get; init; } = 0.6;

    /// <summary>Weight of small talk and long texts.</summary>
    public double SmallTalk { get; init; } = 3;

    /// <summary>Weight of turns that need a tool.</summary>
    public double Tool { get; init; } = 3;

    /// <summary>Weight of questions for facts told before.</summary>
    public double Recall { get; init; } = 3;

    /// <summary>Weight of questions for the fact of a partner: two facts, or three, make the answer.</summary>
    public double RecallByPartner { get; init; } = 0.6;

    /// <summary>Weight of questions for facts never told.</summary>
    public double Unknown { get; init; } = 0.6;

    /// <summary>Weight of wishes for a tool that is not offered.</summary>
    public double MissingTool { get; init; }

    /// <summary>The share of new facts that are rows of twelve digits.</summary>
    public double Digits { get; init; } = 0.1;

    /// <summary>The most facts told, or asked for, in one turn.</summary>
    public int MaxFactsPerTurn { get; init; } = 2;

    /// <summary>How often one fact is changed or added to at most.</summary>
    public int MaxChanges { get; init; } = 2;

    /// <summary>The most sentences of a long text.</summary>
    public int MaxNoiseSentences { get; init; } = 5;

    /// <summary>Ask for each fact at most once, so that the distance to the fact is the distance to the only place that holds its value.</summary>
    public bool AskOnce { get; init; }

    /// <summary>The share of tool turns that make several calls, at once or one after the other's result.</summary>
    public double SeveralCalls { get; init; } = 0.15;

    /// <summary>
    /// So many facts that were told and not asked for stay open: a question that is not for a recent one waits for as many. The more, the farther back
    /// questions reach. For <see cref="AskOnce"/>.
    /// </summary>
    public int LeastOpenFacts { get; init; }

    /// <summary>
    /// The most facts told in a dialogue. Up to about eighty names share no piece. Some other kind of turn must be left when they are told and asked for.
    /// </summary>
    public int MostFacts { get; init; } = int.MaxValue;

    /// <summary>The share of dialogues without tools.</summary>
    public double NoTools { get; init; }

    /// <summary>0 for the seven tools of the workshop; else one to so many of all tools, chosen and ordered at random.</summary>
    public int MostTools { get; init; }

    /// <summary>Choose the system prompt at random instead of the sample's own.</summary>
    public bool VarySystem { get; init; }

    /// <summary>The share of questions that ask for one of the last few facts; the others for any fact told so far.</summary>
    public double RecentRecall { get; init; } = 0.25;
}
