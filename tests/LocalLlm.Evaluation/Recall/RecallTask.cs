using DemoModel.Dialogues;

namespace LocalLlm.Evaluation.Recall;

/// <summary>A kind of text with facts and questions for them.</summary>
/// <param name="Name">For tables and the store.</param>
/// <param name="Options">What its dialogues are made of. Every fact is asked for once.</param>
internal sealed record RecallTask(string Name, DialogueOptions Options)
{
    /// <summary>
    /// Multi-query associative recall (Zoology, arXiv 2312.04927): pairs of name and value, then questions for them, with nothing between.
    /// </summary>
    public static RecallTask Mqar { get; } = new("mqar", new()
    {
        Tell = 3,
        Recall = 8,
        Tool = 0,
        SmallTalk = 0,
        Unknown = 0,
        Change = 0,
        Pair = 0,
        RecallByPartner = 0,
        Digits = 0,
        MaxFactsPerTurn = 6,
        AskOnce = true,
        NoTools = 1,
        RecentRecall = 0.3,
    });

    /// <summary>
    /// Needles after RULER (arXiv 2404.06654) in an agent's conversation: many keys of the same kind, changed values, several values of a key, tracking
    /// over one and two hops, rows of digits, among reports, small talk and tool calls.
    /// </summary>
    public static RecallTask Needles { get; } = new("needles", new()
    {
        Tell = 4,
        Recall = 5,
        Change = 1.5,
        Pair = 2,
        RecallByPartner = 2,
        Unknown = 0.5,
        SmallTalk = 2.5,
        Tool = 1.5,
        MissingTool = 0.2,
        Digits = 0.2,
        MaxFactsPerTurn = 1,
        MostTools = 6,
        AskOnce = true,
        RecentRecall = 0.35,
    });

    /// <summary>Both.</summary>
    public static IReadOnlyList<RecallTask> All { get; } = [Mqar, Needles];
}
