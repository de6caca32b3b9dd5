namespace DemoModel.Dialogues;

/// <summary>How often a dialogue does what. The weights are relative to each other.</summary>
public sealed record DialogueOptions
{
    /// <summary>Weight of turns that tell facts.</summary>
    public double Tell { get; init; } = 3;

    /// <summary>Weight of small talk and long texts.</summary>
    public double SmallTalk { get; init; } = 3;

    /// <summary>Weight of turns that need a tool.</summary>
    public double Tool { get; init; } = 3;

    /// <summary>Weight of questions for facts told before.</summary>
    public double Recall { get; init; } = 3;

    /// <summary>Weight of questions for facts never told.</summary>
    public double Unknown { get; init; } = 0.6;

    /// <summary>The most facts told, or asked for, in one turn.</summary>
    public int MaxFactsPerTurn { get; init; } = 2;

    /// <summary>The most sentences of a long text.</summary>
    public int MaxNoiseSentences { get; init; } = 5;

    /// <summary>Ask for each fact at most once, so that the distance to the fact is the distance to the only place that holds it.</summary>
    public bool AskOnce { get; init; }

    /// <summary>The share of new facts that are a second attribute of a name already used: a distractor for the first.</summary>
    public double SecondAttribute { get; init; }

    /// <summary>The share of tool turns that make two calls at once.</summary>
    public double TwoCalls { get; init; } = 0.1;

    /// <summary>The share of tools left out of the system prompt, and so never asked for; 1 leaves out the tools altogether.</summary>
    public double MissingPlugins { get; init; }

    /// <summary>Choose the system prompt and the order of the tools at random instead of the sample's own.</summary>
    public bool VarySystem { get; init; }

    /// <summary>A quarter of recall questions ask for one of the last few facts, the others for any fact told so far.</summary>
    public double RecentRecall { get; init; } = 0.25;
}
