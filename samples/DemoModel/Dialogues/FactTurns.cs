namespace DemoModel.Dialogues;

/// <summary>Turns about facts: telling, changing and pairing, and the questions for them. Holds what was told.</summary>
internal sealed class FactTurns(Random random, Split split, DialogueOptions options)
{
    private sealed record Told(Fact Fact, int Turn);

    private static readonly (string Before, string After, string Answer)[] TellForms =
    [
        ("", "", "Noted."),
        ("", " Please remember it.", "I will remember it."),
        ("Please note: ", "", "Noted."),
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

    private static readonly string[] ChangeForms = ["Please change the {0}: {1}.", "There is a new {0}: {1}.", "Update of the {0}: {1}."];
    private static readonly string[] AlsoForms = ["One more {0}: {1}.", "Please add a {0}: {1}.", "There is another {0}: {1}."];

    private readonly List<Told> told = [];
    private readonly Dictionary<string, string> partners = new(StringComparer.Ordinal);
    private readonly HashSet<string> namePieces = new(StringComparer.Ordinal);
    private readonly HashSet<string> valueWords = new(StringComparer.Ordinal);
    private int askedFor; // facts that were taken from the open ones

    /// <summary>The facts told and not asked for yet, where each is asked for once.</summary>
    public IEnumerable<Fact> Facts => told.Select(f => f.Fact);

    /// <summary>Number of the present turn.</summary>
    public int Turn { get; set; }

    /// <summary>A turn that tells facts; null if as many as there may be are told.</summary>
    public ScriptedTurn? Tell(int count)
    {
        if (told.Count + askedFor + count > options.MostFacts)
            return null;
        Fact[] facts = [.. Enumerable.Range(0, count).Select(_ => NewFact())];
        foreach (Fact fact in facts)
            told.Add(new(fact, Turn));
        (string before, string after, string answer) = Lexicon.Pick(random, TellForms);
        return new(TurnKind.Tell, before + string.Join(" ", facts.Select(f => $"We {f.Statement}.")) + after, answer) { Facts = facts };
    }

    /// <summary>A turn that changes a fact, or adds a value to it; null if there is none to change.</summary>
    public ScriptedTurn? Change()
    {
        int[] free = [.. Enumerable.Range(0, told.Count).Where(i => told[i].Fact.Earlier.Count < options.MaxChanges && !IsDigits(told[i].Fact))];
        if (free.Length == 0)
            return null;
        int index = Lexicon.Pick(random, free);
        Fact before = told[index].Fact;
        bool also = before.Earlier.Count > 0 ? before.KeepsEarlier : random.Next(3) == 0;
        Fact after = before.With(NewValue(IsCode(before)), also);
        told[index] = new(after, Turn);
        string text = string.Format(null, Lexicon.Pick(random, also ? AlsoForms : ChangeForms), after.Attribute, after.LastStep);
        return new(TurnKind.Tell, text, also ? "Added to it." : "Changed.") { Facts = [after] };
    }

    /// <summary>A turn that pairs a new name with one that has a fact or a partner; null if there is none.</summary>
    public ScriptedTurn? Pair()
    {
        string[] free = [.. told.Select(f => f.Fact.Name).Concat(partners.Keys).Except(partners.Values)];
        if (free.Length == 0)
            return null;
        string[] paired = [.. free.Intersect(partners.Keys)];
        string partner = Lexicon.Pick(random, paired.Length > 0 && random.Next(5) < 2 ? paired : free), name = NewName();
        partners.Add(name, partner);
        return new(TurnKind.Tell, $"We paired {name} with {partner}.", "Noted.");
    }

    /// <summary>A turn that asks for facts told before; null if there is none (left).</summary>
    /// <param name="most">The most facts asked for at once.</param>
    public ScriptedTurn? Recall(int most)
    {
        // Where each is asked for once, the partners' facts are left to the questions for partners.
        List<Told> open = options.AskOnce && options.RecallByPartner > 0 ? [.. told.Where(t => !partners.ContainsValue(t.Fact.Name))] : told;
        if (open.Count == 0)
            return null;
        var asked = new List<Told>();
        for (int i = 1 + random.Next(Math.Min(most, open.Count)); i > 0; i--)
        {
            bool isRecent = random.NextDouble() < options.RecentRecall;
            if (!isRecent && open.Count < options.LeastOpenFacts)
                continue;
            int from = isRecent ? Math.Max(0, open.Count - 4) : 0;
            Told one = open[random.Next(from, open.Count)];
            if (!asked.Contains(one))
                asked.Add(one);
        }

        if (asked.Count == 0)
            return null;
        RecallKind kind = KindOf(asked[0].Fact);
        return Ask(string.Join(" and the ", asked.Select(a => a.Fact.Key)), "", asked, kind);
    }

    /// <summary>A turn that asks for the fact of a partner, or of a partner's partner; null if there is none.</summary>
    public ScriptedTurn? RecallByPartner()
    {
        (string Name, string[] Path, Told Told)[] paths = [.. partners.Keys.SelectMany(Paths)];
        if (paths.Length == 0 || paths.Length < options.LeastOpenFacts / 3)
            return null;
        int hops = Lexicon.Pick(random, [.. paths.Select(p => p.Path.Length).Distinct()]);
        (string name, string[] path, Told fact) = Lexicon.Pick(random, [.. paths.Where(p => p.Path.Length == hops)]);
        string question = $"{fact.Fact.Attribute} for the partner of {(path.Length == 2 ? "the partner of " : "")}{name}";
        string steps = string.Concat(path.Zip(path.Prepend(name), (to, from) => $"You paired {from} with {to}. "));
        if (options.AskOnce)
            partners.Remove(name);
        return Ask(question, steps, [fact], path.Length == 2 ? RecallKind.TwoHops : RecallKind.OneHop);
    }

    /// <summary>A turn that asks for a fact, or a partner, never told.</summary>
    public ScriptedTurn Unknown()
    {
        // A quarter of the names are known, but only as someone's.
        string[] paired = [.. partners.Keys.Where(n => told.All(t => t.Fact.Name != n))];
        bool isPaired = paired.Length > 0 && random.Next(4) == 0;
        string name = isPaired ? Lexicon.Pick(random, paired) : NewName();
        string attribute = Lexicon.Pick(random, random.Next(2) == 0 ? Lexicon.CodeAttributes : Lexicon.WordAttributes);
        (string before, string after) = Lexicon.Pick(random, AskForms);
        return !isPaired && options.Pair > 0 && random.Next(4) == 0
            ? new(TurnKind.Unknown, $"{before}{attribute} for the partner of {name}{after}", $"You paired {name} with nobody.") { ExpectedRefusal = "with nobody" }
            : new(TurnKind.Unknown, $"{before}{attribute} for {name}{after}", $"You gave {name} no {attribute}.") { ExpectedRefusal = $"no {attribute}" };
    }

    private ScriptedTurn Ask(string question, string steps, List<Told> asked, RecallKind kind)
    {
        int[] distances = [.. asked.Select(a => Turn - a.Turn)];
        foreach (Told one in asked)
        {
            int index = told.IndexOf(one);
            if (options.AskOnce)
            {
                told.RemoveAt(index);
                askedFor++;
            }
            else
                told[index] = one with { Turn = Turn };
        }

        (string before, string after) = Lexicon.Pick(random, AskForms);
        string answer = steps + string.Join(" ", asked.Select(a => $"You {a.Fact.Statement}."));
        return new(TurnKind.Recall, before + question + after, answer) { Facts = [.. asked.Select(a => a.Fact)], DistanceTurns = distances, Recall = kind };
    }

    private IEnumerable<(string Name, string[] Path, Told Told)> Paths(string name)
    {
        string partner = partners[name];
        foreach (Told one in told.Where(t => t.Fact.Name == partner))
            yield return (name, [partner], one);
        if (partners.TryGetValue(partner, out string? next))
        {
            foreach (Told one in told.Where(t => t.Fact.Name == next))
                yield return (name, [partner, next], one);
        }
    }

    private static RecallKind KindOf(Fact fact) =>
        IsDigits(fact) ? RecallKind.Digits : fact.Earlier.Count == 0 ? RecallKind.Plain : fact.KeepsEarlier ? RecallKind.Several : RecallKind.Changed;

    private static bool IsDigits(Fact fact) => Lexicon.DigitAttributes.Contains(fact.Attribute);

    private static bool IsCode(Fact fact) => Lexicon.CodeAttributes.Contains(fact.Attribute);

    private Fact NewFact()
    {
        if (random.NextDouble() < options.Digits)
            return new(Lexicon.Pick(random, Lexicon.DigitAttributes), NewName(), Fresh(() => Lexicon.Digits(random, split), v => v[1..].Split('-'), valueWords));
        bool code = random.Next(100) < 60;
        string attribute = Lexicon.Pick(random, code ? Lexicon.CodeAttributes : Lexicon.WordAttributes);
        return new(attribute, NewName(), NewValue(code));
    }

    private string NewValue(bool code) =>
        Fresh(() => code ? Lexicon.Code(random, split) : Lexicon.TwoWords(random, split), v => [v.Split('-', ' ')[0]], valueWords);

    private string NewName() => Fresh(() => Lexicon.Name(random, split), Lexicon.NamePieces, namePieces);

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
}
