namespace DemoModel.Dialogues;

/// <summary>
/// Makes one synthetic agent dialogue, turn by turn: facts told, noise, questions for the facts, tool calls with results that follow
/// from the state of the workshop, and questions for what was never told. The same seed gives the same dialogue.
/// </summary>
public sealed class DialogueGenerator
{
    private readonly Random _random;
    private readonly Split _split;
    private readonly DialogueOptions _options;
    private readonly ToolTurns _toolTurns;
    private readonly List<(Fact Fact, int Turn)> _facts = [];
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly HashSet<string> _keys = new(StringComparer.Ordinal);
    private readonly HashSet<string> _namePieces = new(StringComparer.Ordinal);
    private readonly HashSet<string> _valueWords = new(StringComparer.Ordinal);
    private int _turn;

    /// <summary>Begins a dialogue.</summary>
    /// <param name="seed">Decides everything that is random.</param>
    /// <param name="split">Where names and values come from.</param>
    /// <param name="options">How often the dialogue does what; null for the defaults.</param>
    public DialogueGenerator(int seed, Split split, DialogueOptions? options = null)
    {
        _random = new Random(seed);
        _split = split;
        _options = options ?? new();
        SystemPrompt = _options.VarySystem && _random.Next(2) == 0 ? Lexicon.Pick(_random, DemoTools.SystemPrompts) : DemoTools.SystemPrompt;
        Tools = ChooseTools();
        _toolTurns = new ToolTurns(_random, split, Tools);
    }

    /// <summary>The system prompt.</summary>
    public string SystemPrompt { get; }

    /// <summary>The tools offered.</summary>
    public IReadOnlyList<DemoTool> Tools { get; }

    /// <summary>The facts told so far.</summary>
    public IEnumerable<Fact> Facts => _facts.Select(f => f.Fact);

    /// <summary>The next turns.</summary>
    public IReadOnlyList<ScriptedTurn> Take(int count) => [.. Enumerable.Range(0, count).Select(_ => Next())];

    /// <summary>The next turn.</summary>
    public ScriptedTurn Next()
    {
        _turn++;
        while (true)
        {
            double total = _options.Tell + _options.SmallTalk + _options.Tool + _options.Recall + _options.Unknown;
            double at = _random.NextDouble() * total;
            ScriptedTurn? turn =
                (at -= _options.Tell) < 0 ? Tell()
                : (at -= _options.SmallTalk) < 0 ? SmallTalk.Make(_random, _split, _options.MaxNoiseSentences)
                : (at -= _options.Tool) < 0 ? _toolTurns.Make(_options.TwoCalls)
                : (at -= _options.Recall) < 0 ? Recall()
                : Unknown();
            if (turn is not null)
                return turn;
        }
    }

    /// <summary>A turn that tells facts.</summary>
    /// <param name="count">How many; null for a random number up to the option's.</param>
    public ScriptedTurn Tell(int? count = null)
    {
        Fact[] facts = [.. Enumerable.Range(0, count ?? 1 + _random.Next(_options.MaxFactsPerTurn)).Select(_ => NewFact())];
        foreach (Fact fact in facts)
            _facts.Add((fact, _turn));
        string statements = string.Join(" ", facts.Select(f => $"We {f.Statement}."));
        (string before, string after, string answer) = Lexicon.Pick(_random, TellForms);
        return new(TurnKind.Tell, before + statements + after, answer) { Facts = facts };
    }

    /// <summary>A turn that asks for facts told before; null if there is none (left).</summary>
    public ScriptedTurn? Recall()
    {
        if (_facts.Count == 0)
            return null;
        var asked = new List<(Fact Fact, int Turn)>();
        for (int i = 1 + _random.Next(Math.Min(_options.MaxFactsPerTurn, _facts.Count)); i > 0; i--)
        {
            int from = _random.NextDouble() < _options.RecentRecall ? Math.Max(0, _facts.Count - 4) : 0;
            int index = _random.Next(from, _facts.Count);
            if (asked.Contains(_facts[index]))
                continue;
            asked.Add(_facts[index]);
        }

        int[] distances = [.. asked.Select(a => _turn - a.Turn)];
        foreach ((Fact, int) one in asked)
        {
            int index = _facts.IndexOf(one);
            if (_options.AskOnce)
                _facts.RemoveAt(index);
            else
                _facts[index] = (one.Item1, _turn);
        }

        (string before, string after) = Lexicon.Pick(_random, AskForms);
        string question = before + string.Join(" and the ", asked.Select(a => a.Fact.Key)) + after;
        string answer = string.Join(" ", asked.Select(a => $"You {a.Fact.Statement}."));
        return new(TurnKind.Recall, question, answer) { Facts = [.. asked.Select(a => a.Fact)], DistanceTurns = distances };
    }

    /// <summary>A turn that asks for a fact that was never told.</summary>
    public ScriptedTurn Unknown()
    {
        string name = NewName();
        _names.Remove(name);
        string attribute = Lexicon.Pick(_random, _random.Next(2) == 0 ? Lexicon.CodeAttributes : Lexicon.WordAttributes);
        (string before, string after) = Lexicon.Pick(_random, AskForms);
        return new(TurnKind.Unknown, $"{before}{attribute} for {name}{after}", $"You gave {name} no {attribute}.") { ExpectedRefusal = $"no {attribute}" };
    }

    private static readonly (string Before, string After, string Answer)[] TellForms =
    [
        ("", "", "Noted."),
        ("", " Please remember it.", "I will remember it."),
        ("Please note: ", "", "Noted."),
        ("Remember this. ", "", "I will remember it."),
        ("For later: ", "", "Noted, thank you."),
        ("Keep this in mind. ", "", "I will keep it in mind."),
        ("Here is something for you. ", " Do not forget it.", "I will not forget it."),
    ];

    private static readonly (string Before, string After)[] AskForms =
    [
        ("What is the ", "?"),
        ("Tell me the ", "."),
        ("Can you tell me the ", "?"),
        ("Remind me, what is the ", "?"),
        ("Do you remember the ", "?"),
        ("I need the ", " now."),
        ("What was the ", " again?"),
    ];

    private Fact NewFact()
    {
        bool code = _random.Next(100) < 60;
        string[] attributes = code ? Lexicon.CodeAttributes : Lexicon.WordAttributes;
        string attribute = Lexicon.Pick(_random, attributes);
        string? name = null;
        if (_names.Count > 0 && _random.NextDouble() < _options.SecondAttribute)
        {
            name = _names.ElementAt(_random.Next(_names.Count));
            if (_keys.Contains($"{attribute} for {name}"))
                name = null;
        }

        name ??= NewName();
        string value = Fresh(() => code ? Lexicon.Code(_random, _split) : Lexicon.TwoWords(_random, _split), Words, _valueWords);
        var fact = new Fact(attribute, name, value);
        _keys.Add(fact.Key);
        return fact;
    }

    private string NewName()
    {
        string name = Fresh(() => Lexicon.Name(_random, _split), Lexicon.NamePieces, _namePieces);
        _names.Add(name);
        return name;
    }

    // Names share no piece, and values no first word, with others of the dialogue, as long as there are any left: one token tells them apart.
    private static string Fresh(Func<string> make, Func<string, IEnumerable<string>> pieces, HashSet<string> used)
    {
        for (int attempt = 0; ; attempt++)
        {
            string text = make();
            bool free = !used.Contains(text) && (attempt >= 50 || pieces(text).All(p => !used.Contains(p)));
            if (!free)
                continue;
            used.Add(text);
            used.UnionWith(pieces(text));
            return text;
        }
    }

    private static IEnumerable<string> Words(string value) => [value.Split('-', ' ')[0]];

    private DemoTool[] ChooseTools()
    {
        IEnumerable<IGrouping<string, DemoTool>> plugins = DemoTools.All.GroupBy(t => t.Name[..t.Name.IndexOf('-', StringComparison.Ordinal)]);
        if (_options.MissingPlugins > 0)
            plugins = plugins.Where(_ => _random.NextDouble() >= _options.MissingPlugins);
        if (_options.VarySystem && _random.Next(2) == 0)
            plugins = plugins.OrderBy(_ => _random.Next());
        return [.. plugins.SelectMany(p => p)];
    }
}
