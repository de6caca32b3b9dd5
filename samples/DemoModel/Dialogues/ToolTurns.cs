using System.Globalization;

namespace DemoModel.Dialogues;

/// <summary>Turns that need a tool. Holds the workshop that gives the results, so a script is consistent with itself.</summary>
internal sealed class ToolTurns(Random random, Split split, IReadOnlyList<DemoTool> tools)
{
    private readonly StockRoom stock = new();
    private readonly DayBook calendar = new();
    private readonly NoteBook notes = new();
    private readonly List<string> items = [];
    private readonly List<string> bookedDays = [];
    private readonly List<string> topics = [];
    private (string Item, int Turn) lastItem = ("", 0);
    private int turns;

    /// <summary>A turn with one call, or several; null if there are no tools.</summary>
    public ScriptedTurn? Make(DialogueOptions options)
    {
        if (tools.Count == 0)
            return null;
        turns++;
        if (random.NextDouble() < options.SeveralCalls && Several() is { } several)
            return several;
        return Lexicon.Pick(random, tools).Name switch
        {
            "Stock-check" => Check(),
            "Stock-add" => Add(),
            "Stock-remove" => Remove(),
            "Calendar-book" => Book(),
            "Calendar-list" => List(),
            "Notes-save" => Save(),
            "Notes-read" => Read(),
            "Mail-send" => Mail(),
            "Timer-start" => StartTimer(),
            "Machine-start" => Machine(starts: true),
            "Machine-stop" => Machine(starts: false),
            _ => AskPrice(),
        };
    }

    private ScriptedTurn? Several()
    {
        var possible = new List<Func<ScriptedTurn>>();
        if (Has("Stock-check"))
            possible.Add(CheckTwo);
        if (Has("Stock-check") && Has("Stock-add"))
            possible.Add(CheckThenAdd);
        if (Has("Stock-remove") && Has("Stock-check"))
            possible.Add(RemoveThenCheck);
        if (Has("Notes-read") && Has("Mail-send") && topics.Count > 0)
            possible.Add(ReadThenMail);
        return possible.Count == 0 ? null : Lexicon.Pick(random, possible)();
    }

    private bool Has(string name) => tools.Any(t => t.Name == name);

    private ScriptedTurn CheckThenAdd()
    {
        string item = Item();
        int quantity = Quantity();
        string user = Text($"Check the stock of {item}, then add {quantity} units.");
        string before = stock.Check(item), after = stock.Add(item, quantity);
        return Rounds(user, $"There were {before}. There are now {after} in stock.",
            ("Stock-check", $$"""{"item": "{{item}}"}""", before),
            ("Stock-add", Text($$"""{"item": "{{item}}", "quantity": {{quantity}}}"""), after));
    }

    private ScriptedTurn RemoveThenCheck()
    {
        string used = Item(), other = Item();
        while (other == used)
            other = NewItem();
        int quantity = Quantity();
        string user = Text($"Take out {quantity} units of {used}, then check the stock of {other}.");
        lastItem = default;
        string removed = stock.Remove(used, quantity), result = stock.Check(other);
        return Rounds(user, $"There are now {removed} and {result} in stock.",
            ("Stock-remove", Text($$"""{"item": "{{used}}", "quantity": {{quantity}}}"""), removed),
            ("Stock-check", $$"""{"item": "{{other}}"}""", result));
    }

    // The second call needs the first one's result.
    private ScriptedTurn ReadThenMail()
    {
        string topic = Lexicon.Pick(random, topics), name = Lexicon.Name(random, split), text = notes.Read(topic);
        return Rounds($"Read the note about the {topic} and mail it to {name}.", $"I mailed it to {name}: {text}.",
            ("Notes-read", $$"""{"topic": "{{topic}}"}""", text),
            ("Mail-send", $$"""{"to": "{{name}}", "text": "{{text}}"}""", $"sent to {name}"));
    }

    private ScriptedTurn Mail()
    {
        string name = Lexicon.Name(random, split), text = Lexicon.Note(random, split);
        string user = Lexicon.Pick(random, [$"Send {name} a mail: {text}.", $"Please mail {name}: {text}.", $"Write to {name}: {text}."]);
        return Turn(user, $"The mail is sent to {name}.", ("Mail-send", $$"""{"to": "{{name}}", "text": "{{text}}"}""", $"sent to {name}"));
    }

    private ScriptedTurn StartTimer()
    {
        int minutes = random.Next(2, 100);
        string user = Lexicon.Pick(random, [Text($"Start a timer for {minutes} minutes."), Text($"Remind me in {minutes} minutes."), Text($"Set the timer to {minutes} minutes.")]);
        return Turn(user, Text($"The timer runs for {minutes} minutes."),
            ("Timer-start", Text($$"""{"minutes": {{minutes}}}"""), Text($"running for {minutes} minutes")));
    }

    private ScriptedTurn Machine(bool starts)
    {
        string machine = Lexicon.Machine(random, split), state = starts ? "running" : "stopped";
        string user = Lexicon.Pick(random, starts
            ? [$"Start the {machine}.", $"Please turn on the {machine}.", $"Switch the {machine} on."]
            : (string[])[$"Stop the {machine}.", $"Please turn off the {machine}.", $"Switch the {machine} off."]);
        return Turn(user, $"The {machine} is {state}.", (starts ? "Machine-start" : "Machine-stop", $$"""{"machine": "{{machine}}"}""", $"{machine} is {state}"));
    }

    private ScriptedTurn AskPrice()
    {
        string item = Item(), result = PriceList.Ask(item);
        string user = Lexicon.Pick(random, [$"How much is {item}?", $"What does {item} cost?", $"Ask for the price of {item}."]);
        return Turn(user, $"It is {result}.", ("Price-ask", $$"""{"item": "{{item}}"}""", result));
    }

    private ScriptedTurn Check()
    {
        string item = Item();
        string user = Lexicon.Pick(random, [
            $"How many units of {item} are in stock?",
            $"Check the stock of {item}.",
            $"Please check how many units of {item} we have."]);
        string result = stock.Check(item);
        return Turn(user, $"There are {result} in stock.", ("Stock-check", $$"""{"item": "{{item}}"}""", result));
    }

    private ScriptedTurn CheckTwo()
    {
        string first = Item(), second = Item();
        while (second == first)
            second = NewItem();
        string user = Lexicon.Pick(random, [
            $"Check the stock of {first} and of {second}.",
            $"Please check how many units of {first} and of {second} we have."]);
        lastItem = default; // two items: "the same" would be either
        string firstResult = stock.Check(first), secondResult = stock.Check(second);
        return Turn(user, $"There are {firstResult} and {secondResult} in stock.",
            ("Stock-check", $$"""{"item": "{{first}}"}""", firstResult),
            ("Stock-check", $$"""{"item": "{{second}}"}""", secondResult));
    }

    private ScriptedTurn Add()
    {
        // "More of the same" means the item of the turn before.
        bool same = lastItem.Turn > 0 && lastItem.Turn == turns - 1 && random.Next(2) == 0;
        string item = same ? lastItem.Item : Item();
        int quantity = Quantity();
        string user = same ? Text($"Add {quantity} more of the same.") : Lexicon.Pick(random, [
            Text($"Add {quantity} units of {item} to the stock."),
            Text($"We received {quantity} units of {item}."),
            Text($"Please add {quantity} units of {item}.")]);
        string result = stock.Add(item, quantity);
        return Turn(user, $"Added. There are now {result} in stock.",
            ("Stock-add", Text($$"""{"item": "{{item}}", "quantity": {{quantity}}}"""), result));
    }

    private ScriptedTurn Remove()
    {
        string item = Item();
        int quantity = Quantity();
        string user = Lexicon.Pick(random, [
            Text($"Remove {quantity} units of {item} from the stock."),
            Text($"We used {quantity} units of {item}."),
            Text($"Please take out {quantity} units of {item}.")]);
        string result = stock.Remove(item, quantity);
        return Turn(user, $"Removed. There are now {result} in stock.",
            ("Stock-remove", Text($$"""{"item": "{{item}}", "quantity": {{quantity}}}"""), result));
    }

    private ScriptedTurn Book()
    {
        string day = Lexicon.Pick(random, Lexicon.Days);
        string time = Text($"{random.Next(8, 18):00}:{random.Next(4) * 15:00}");
        string title = Lexicon.Title(random, split);
        string user = Lexicon.Pick(random, [
            $"Book a {title} on {day} at {time}.",
            $"Please book a {title} on {day} at {time}.",
            $"Put a {title} in the calendar on {day} at {time}."]);
        string result = calendar.Book(day, time, title);
        bookedDays.Add(day);
        return Turn(user, $"Booked: {result}.",
            ("Calendar-book", $$"""{"day": "{{day}}", "time": "{{time}}", "title": "{{title}}"}""", result));
    }

    private ScriptedTurn List()
    {
        string day = bookedDays.Count > 0 && random.Next(3) > 0 ? Lexicon.Pick(random, bookedDays) : Lexicon.Pick(random, Lexicon.Days);
        string user = Lexicon.Pick(random, [
            $"What is in the calendar on {day}?",
            $"List my appointments on {day}.",
            $"What do I have on {day}?"]);
        string result = calendar.List(day);
        return Turn(user, $"On {day} you have: {result}.", ("Calendar-list", $$"""{"day": "{{day}}"}""", result));
    }

    private ScriptedTurn Save()
    {
        string topic = Lexicon.Title(random, split), text = Lexicon.Note(random, split);
        string user = Lexicon.Pick(random, [
            $"Save a note about the {topic}: {text}.",
            $"Write a note about the {topic}: {text}.",
            $"Note for the {topic}: {text}."]);
        string result = notes.Save(topic, text);
        topics.Add(topic);
        return Turn(user, $"I saved the note about the {topic}.",
            ("Notes-save", $$"""{"topic": "{{topic}}", "text": "{{text}}"}""", result));
    }

    private ScriptedTurn Read()
    {
        string topic = topics.Count > 0 && random.Next(4) > 0 ? Lexicon.Pick(random, topics) : Lexicon.Title(random, split);
        string user = Lexicon.Pick(random, [
            $"Read the note about the {topic}.",
            $"What does the note about the {topic} say?",
            $"Show me the note about the {topic}."]);
        string result = notes.Read(topic);
        return Turn(user, $"The note about the {topic} says: {result}.", ("Notes-read", $$"""{"topic": "{{topic}}"}""", result));
    }

    private static ScriptedTurn Turn(string user, string answer, params (string Name, string Arguments, string Result)[] calls) =>
        new(TurnKind.Tool, user, answer) { Rounds = [[.. calls.Select(c => new ScriptedCall(c.Name, c.Arguments, c.Result))]] };

    private static ScriptedTurn Rounds(string user, string answer, params (string Name, string Arguments, string Result)[] calls) =>
        new(TurnKind.Tool, user, answer) { Rounds = [.. calls.Select(c => new[] { new ScriptedCall(c.Name, c.Arguments, c.Result) })] };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private int Quantity() => random.Next(4) == 0 ? random.Next(2, 10) : random.Next(10, 100);

    // Half of the items were used before, so that results change with what was added and removed.
    private string Item()
    {
        string item = items.Count > 0 && random.Next(2) == 0 ? Lexicon.Pick(random, items) : NewItem();
        lastItem = (item, turns);
        return item;
    }

    private string NewItem()
    {
        string item = Lexicon.Item(random, split);
        items.Add(item);
        return item;
    }
}
