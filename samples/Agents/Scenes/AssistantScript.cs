using DemoModel.Dialogues;

namespace Agents.Scenes;

/// <summary>
/// Requests that an assistant can only answer with its tools: one call, two at once, a second that follows the first one's result, and answers that
/// depend on what earlier calls did. Each comes with the calls that it needs, so that they can be judged.
/// </summary>
internal static class AssistantScript
{
    public static string SystemPrompt => DemoTools.SystemPrompt;

    public static IReadOnlyList<ScriptedTurn> Turns { get; } = Write();

    private static List<ScriptedTurn> Write()
    {
        // The workshop gives the results, so they are what the plugins will give.
        var stock = new StockRoom();
        var days = new DayBook();
        var notes = new NoteBook();
        return
        [
            One("How many units of copper valve are in stock?",
                "Stock-check", """{"item": "copper valve"}""", stock.Check("copper valve"), "There are {0} in stock."),
            Both("Check the stock of steel hinge and of brass nozzle.",
                new("Stock-check", """{"item": "steel hinge"}""", stock.Check("steel hinge")),
                new("Stock-check", """{"item": "brass nozzle"}""", stock.Check("brass nozzle"))),
            InRounds("Check the stock of rubber gasket, then add 25 units.",
                new("Stock-check", """{"item": "rubber gasket"}""", stock.Check("rubber gasket")),
                new("Stock-add", """{"item": "rubber gasket", "quantity": 25}""", stock.Add("rubber gasket", 25))),
            One("We used 7 units of copper valve.",
                "Stock-remove", """{"item": "copper valve", "quantity": 7}""", stock.Remove("copper valve", 7),
                "Removed. There are now {0} in stock."),
            One("Book a pump review on Monday at 09:30.", "Calendar-book", """{"day": "Monday", "time": "09:30", "title": "pump review"}""",
                days.Book("Monday", "09:30", "pump review"), "Booked: {0}."),
            One("Save a note about the pump review: order the copper valve.", "Notes-save", """{"topic": "pump review", "text": "order the copper valve"}""",
                notes.Save("pump review", "order the copper valve"), "I saved the note about the pump review."),
            One("What is in the calendar on Monday?", "Calendar-list", """{"day": "Monday"}""", days.List("Monday"), "On Monday you have: {0}."),
            One("Read the note about the pump review.", "Notes-read", """{"topic": "pump review"}""",
                notes.Read("pump review"), "The note about the pump review says: {0}."),
        ];
    }

    private static ScriptedTurn One(string user, string tool, string arguments, string result, string answer) =>
        new(TurnKind.Tool, user, string.Format(null, answer, result)) { Rounds = [[new(tool, arguments, result)]] };

    private static ScriptedTurn Both(string user, ScriptedCall first, ScriptedCall second) =>
        new(TurnKind.Tool, user, $"There are {first.Result} and {second.Result} in stock.") { Rounds = [[first, second]] };

    private static ScriptedTurn InRounds(string user, ScriptedCall first, ScriptedCall second) =>
        new(TurnKind.Tool, user, $"There were {first.Result}. There are now {second.Result} in stock.") { Rounds = [[first], [second]] };
}
