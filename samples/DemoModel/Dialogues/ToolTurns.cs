using System.Globalization;

namespace DemoModel.Dialogues;

/// <summary>Turns that need a tool. Holds the workshop that gives the results, so a script is consistent with itself.</summary>
internal sealed class ToolTurns(Random random, Split split, IReadOnlyList<DemoTool> tools)
{
    private readonly StockRoom _stock = new();
    private readonly DayBook _calendar = new();
    private readonly NoteBook _notes = new();
    private readonly List<string> _items = [];
    private readonly List<string> _bookedDays = [];
    private readonly List<string> _topics = [];

    /// <summary>A turn with one call, or two; null if there are no tools.</summary>
    public ScriptedTurn? Make(double twoCalls)
    {
        if (tools.Count == 0)
            return null;
        DemoTool tool = Lexicon.Pick(random, tools);
        if (tool.Name == "Stock-check" && random.NextDouble() < twoCalls * 4)
            return CheckTwo();
        return tool.Name switch
        {
            "Stock-check" => Check(),
            "Stock-add" => Add(),
            "Stock-remove" => Remove(),
            "Calendar-book" => Book(),
            "Calendar-list" => List(),
            "Notes-save" => Save(),
            _ => Read(),
        };
    }

    private ScriptedTurn Check()
    {
        string item = Item();
        string user = Lexicon.Pick(random, [
            $"How many units of {item} are in stock?",
            $"Check the stock of {item}.",
            $"Please check how many units of {item} we have."]);
        string result = _stock.Check(item);
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
        string firstResult = _stock.Check(first), secondResult = _stock.Check(second);
        return Turn(user, $"There are {firstResult} and {secondResult} in stock.",
            ("Stock-check", $$"""{"item": "{{first}}"}""", firstResult),
            ("Stock-check", $$"""{"item": "{{second}}"}""", secondResult));
    }

    private ScriptedTurn Add()
    {
        string item = Item();
        int quantity = Quantity();
        string user = Lexicon.Pick(random, [
            Text($"Add {quantity} units of {item} to the stock."),
            Text($"We received {quantity} units of {item}."),
            Text($"Please add {quantity} units of {item}.")]);
        string result = _stock.Add(item, quantity);
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
        string result = _stock.Remove(item, quantity);
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
        string result = _calendar.Book(day, time, title);
        _bookedDays.Add(day);
        return Turn(user, $"Booked: {result}.",
            ("Calendar-book", $$"""{"day": "{{day}}", "time": "{{time}}", "title": "{{title}}"}""", result));
    }

    private ScriptedTurn List()
    {
        string day = _bookedDays.Count > 0 && random.Next(3) > 0 ? Lexicon.Pick(random, _bookedDays) : Lexicon.Pick(random, Lexicon.Days);
        string user = Lexicon.Pick(random, [
            $"What is in the calendar on {day}?",
            $"List my appointments on {day}.",
            $"What do I have on {day}?"]);
        string result = _calendar.List(day);
        return Turn(user, $"On {day} you have: {result}.", ("Calendar-list", $$"""{"day": "{{day}}"}""", result));
    }

    private ScriptedTurn Save()
    {
        string topic = Lexicon.Title(random, split), text = Lexicon.Note(random, split);
        string user = Lexicon.Pick(random, [
            $"Save a note about the {topic}: {text}.",
            $"Write a note about the {topic}: {text}.",
            $"Note for the {topic}: {text}."]);
        string result = _notes.Save(topic, text);
        _topics.Add(topic);
        return Turn(user, $"I saved the note about the {topic}.",
            ("Notes-save", $$"""{"topic": "{{topic}}", "text": "{{text}}"}""", result));
    }

    private ScriptedTurn Read()
    {
        string topic = _topics.Count > 0 && random.Next(4) > 0 ? Lexicon.Pick(random, _topics) : Lexicon.Title(random, split);
        string user = Lexicon.Pick(random, [
            $"Read the note about the {topic}.",
            $"What does the note about the {topic} say?",
            $"Show me the note about the {topic}."]);
        string result = _notes.Read(topic);
        return Turn(user, $"The note about the {topic} says: {result}.", ("Notes-read", $$"""{"topic": "{{topic}}"}""", result));
    }

    private static ScriptedTurn Turn(string user, string answer, params (string Name, string Arguments, string Result)[] calls) =>
        new(TurnKind.Tool, user, answer) { Calls = [.. calls.Select(c => new ScriptedCall(c.Name, c.Arguments, c.Result))] };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private int Quantity() => random.Next(4) == 0 ? random.Next(2, 10) : random.Next(10, 100);

    // Half of the items were used before, so that results change with what was added and removed.
    private string Item() => _items.Count > 0 && random.Next(2) == 0 ? Lexicon.Pick(random, _items) : NewItem();

    private string NewItem()
    {
        string item = Lexicon.Item(random, split);
        _items.Add(item);
        return item;
    }
}
