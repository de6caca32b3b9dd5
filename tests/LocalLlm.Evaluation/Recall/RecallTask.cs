using DemoModel.Dialogues;

namespace LocalLlm.Evaluation.Recall;

/// <summary>A kind of text with facts and questions for them.</summary>
/// <param name="Name">For tables and the store.</param>
/// <param name="Options">What its dialogues are made of. Every fact is asked for once.</param>
internal sealed record RecallTask(string Name, DialogueOptions Options)
{
    /// <summary>
    /// Multi-query associative recall (Zoology, arXiv 2312.04927): eighty pairs of name and value, and questions for them with
    /// next to nothing between.
    /// </summary>
    public static RecallTask Mqar { get; } = new("mqar", new()
    {
        Tell = 20,
        Recall = 8,
        Tool = 0,
        SmallTalk = 0.5,
        Unknown = 0,
        Change = 0,
        Pair = 0,
        RecallByPartner = 0,
        Digits = 0,
        MaxFactsPerTurn = 6,
        LeastOpenFacts = 40,
        MostFacts = 80,
        AskOnce = true,
        NoTools = 1,
        RecentRecall = 0.25,
    });

    /// <summary>
    /// Needles after RULER (arXiv 2404.06654) in an agent's conversation: many keys of the same kind, changed values, several values of a key, tracking
    /// over one and two hops, rows of digits, among reports, small talk and tool calls.
    /// </summary>
    public static RecallTask Needles { get; } = new("needles", new()
    {
        Tell = 8,
        Recall = 8,
        Change = 1.5,
        Pair = 2,
        RecallByPartner = 3,
        Unknown = 0.5,
        SmallTalk = 2.5,
        Tool = 1.5,
        MissingTool = 0.2,
        Digits = 0.2,
        MaxFactsPerTurn = 1,
        MostTools = 6,
        LeastOpenFacts = 20,
        AskOnce = true,
        RecentRecall = 0.25,
    });

    /// <summary>Both.</summary>
    public static IReadOnlyList<RecallTask> All { get; } = [Mqar, Needles];
}
