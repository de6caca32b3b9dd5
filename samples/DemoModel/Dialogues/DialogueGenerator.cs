namespace DemoModel.Dialogues;

/// <summary>
/// Makes one synthetic agent dialogue, turn by turn: facts told and changed, noise, questions for the facts, tool calls with results that follow
/// from the state of the workshop, and questions for what was never told. The same seed gives the same dialogue.
/// </summary>
public sealed class DialogueGenerator
{
    private readonly Random random;
    private readonly Split split;
    private readonly DialogueOptions options;
    private readonly ToolTurns toolTurns;
    private readonly FactTurns factTurns;
    private readonly DemoTool[] missing;

    /// <summary>Begins a dialogue.</summary>
    /// <param name="seed">Decides everything that is random.</param>
    /// <param name="split">Where names and values come from.</param>
    /// <param name="options">How often the dialogue does what; null for the defaults.</param>
    public DialogueGenerator(int seed, Split split, DialogueOptions? options = null)
    {
        random = new Random(seed);
        this.split = split;
        this.options = options ?? new();
        SystemPrompt = this.options.VarySystem && random.Next(2) == 0 ? Lexicon.Pick(random, DemoTools.SystemPrompts) : DemoTools.SystemPrompt;
        Tools = ChooseTools();
        missing = [.. DemoTools.All.Except(Tools)];
        toolTurns = new ToolTurns(random, split, Tools);
        factTurns = new FactTurns(random, split, this.options);
    }

    /// <summary>The system prompt.</summary>
    public string SystemPrompt { get; }

    /// <summary>The tools offered.</summary>
    public IReadOnlyList<DemoTool> Tools { get; }

    /// <summary>The facts told so far; where each is asked for once, those not asked for yet.</summary>
    public IEnumerable<Fact> Facts => factTurns.Facts;

    /// <summary>The next turns.</summary>
    public IReadOnlyList<ScriptedTurn> Take(int count) => [.. Enumerable.Range(0, count).Select(_ => Next())];

    /// <summary>The next turn.</summary>
    public ScriptedTurn Next()
    {
        factTurns.Turn++;
        (double Weight, Func<ScriptedTurn?> Make)[] kinds =
        [
            (options.Tell, () => factTurns.Tell(1 + random.Next(options.MaxFactsPerTurn))),
            (options.Change, factTurns.Change),
            (options.Pair, factTurns.Pair),
            (options.SmallTalk, () => SmallTalk.Make(random, split, options.MaxNoiseSentences)),
            (options.Tool, () => toolTurns.Make(options)),
            (options.Recall, () => factTurns.Recall(options.MaxFactsPerTurn)),
            (options.RecallByPartner, factTurns.RecallByPartner),
            (options.Unknown, factTurns.Unknown),
            (options.MissingTool, MissingTool),
        ];
        double total = kinds.Sum(k => k.Weight);
        while (true)
        {
            double at = random.NextDouble() * total;
            if (kinds.First(k => (at -= k.Weight) < 0).Make() is { } turn)
                return turn;
        }
    }

    /// <summary>A turn that tells facts; null if as many as there may be are told.</summary>
    /// <param name="count">How many.</param>
    public ScriptedTurn? Tell(int count) => factTurns.Tell(count);

    /// <summary>A turn that asks for facts told before; null if there is none (left).</summary>
    public ScriptedTurn? Recall() => factTurns.Recall(options.MaxFactsPerTurn);

    /// <summary>A turn that asks for a fact of a partner; null if there is none (left).</summary>
    public ScriptedTurn? RecallByPartner() => factTurns.RecallByPartner();

    // A wish for a tool that is not offered. What it would do is forgotten, so the workshop of the offered ones stays as it is.
    private ScriptedTurn? MissingTool() => missing.Length == 0 ? null
        : new(TurnKind.Unknown, new ToolTurns(random, split, [Lexicon.Pick(random, missing)]).Make(options)!.UserText, "I have no tool for that.") { ExpectedRefusal = "no tool" };

    private DemoTool[] ChooseTools()
    {
        if (random.NextDouble() < options.NoTools)
            return [];
        if (options.MostTools > 0)
            return [.. DemoTools.All.OrderBy(_ => random.Next()).Take(1 + random.Next(options.MostTools))];
        return [.. DemoTools.Workshop];
    }
}
