using DemoModel.Dialogues;

namespace Agents.Scenes;

/// <summary>
/// What the scripted user says: facts, changes of them, pairs of names, small talk, wishes that need tools, and questions for the facts. A fact
/// is asked for at most once, so that its distance is the distance to the only place that holds its last value. Names and values are of the
/// part of the generator's world that the demo model has not seen in training.
/// </summary>
internal sealed class WorkshopScript
{
    // Few questions at first, so that many facts are left to be asked for from far back.
    private static readonly DialogueOptions Mix = new() { AskOnce = true, RecentRecall = 0, Recall = 1.5 };

    private readonly DialogueGenerator _generator;
    private readonly int _turns;
    private int _number;

    /// <param name="seed">Decides everything that is random.</param>
    /// <param name="turns">How long the conversation will be: in its last quarter every other turn asks for a fact.</param>
    public WorkshopScript(int seed, int turns) => (_generator, _turns) = (new(seed, Split.Test, Mix), turns);

    public string SystemPrompt => _generator.SystemPrompt;

    public ScriptedTurn Next()
    {
        _number++;
        bool asks = _number > _turns - _turns / 4 && (_turns - _number) % 2 == 0;
        return (asks ? _generator.Recall() : null) ?? _generator.Next();
    }

    /// <summary>All turns of a script.</summary>
    public static IReadOnlyList<ScriptedTurn> Of(int seed, int turns)
    {
        var script = new WorkshopScript(seed, turns);
        return [.. Enumerable.Range(0, turns).Select(_ => script.Next())];
    }
}
