using System.Text.Json;

namespace DemoModel.Dialogues;

/// <summary>One parameter of a tool.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its JSON schema type: "string" or "integer".</param>
public sealed record DemoParameter(string Name, string Type);

/// <summary>A tool as the chat template shows it to the model.</summary>
/// <param name="Name">Plugin and function, joined as Semantic Kernel does: "Stock-check".</param>
/// <param name="Description">What it does.</param>
/// <param name="Parameters">Its parameters, in order.</param>
public sealed record DemoTool(string Name, string Description, IReadOnlyList<DemoParameter> Parameters)
{
    /// <summary>The parameters as a JSON schema of type object.</summary>
    public JsonElement Schema => JsonSerializer.SerializeToElement(new
    {
        type = "object",
        properties = Parameters.ToDictionary(p => p.Name, p => new { type = p.Type }),
        required = Parameters.Select(p => p.Name),
    });
}

/// <summary>The tools and the system prompt of the demo model. Plugins that use these texts look to the model as in its training.</summary>
public static class DemoTools
{
    /// <summary>The system prompt that the model knows best.</summary>
    public const string SystemPrompt = "You are the assistant of a workshop. Remember what you are told and use the tools.";

    /// <summary>Description of <c>Stock-check</c>.</summary>
    public const string StockCheck = "Tells how many units are in stock.";

    /// <summary>Description of <c>Stock-add</c>.</summary>
    public const string StockAdd = "Adds units to the stock.";

    /// <summary>Description of <c>Stock-remove</c>.</summary>
    public const string StockRemove = "Takes units out of the stock.";

    /// <summary>Description of <c>Calendar-book</c>.</summary>
    public const string CalendarBook = "Books an appointment.";

    /// <summary>Description of <c>Calendar-list</c>.</summary>
    public const string CalendarList = "Lists the appointments of a day.";

    /// <summary>Description of <c>Notes-save</c>.</summary>
    public const string NotesSave = "Saves a note.";

    /// <summary>Description of <c>Notes-read</c>.</summary>
    public const string NotesRead = "Reads a note.";

    /// <summary>The tools of the sample's workshop, by plugin.</summary>
    public static IReadOnlyList<DemoTool> Workshop { get; } =
    [
        new("Stock-check", StockCheck, [new("item", "string")]),
        new("Stock-add", StockAdd, [new("item", "string"), new("quantity", "integer")]),
        new("Stock-remove", StockRemove, [new("item", "string"), new("quantity", "integer")]),
        new("Calendar-book", CalendarBook, [new("day", "string"), new("time", "string"), new("title", "string")]),
        new("Calendar-list", CalendarList, [new("day", "string")]),
        new("Notes-save", NotesSave, [new("topic", "string"), new("text", "string")]),
        new("Notes-read", NotesRead, [new("topic", "string")]),
    ];

    /// <summary>All tools that the model knows.</summary>
    public static IReadOnlyList<DemoTool> All { get; } =
    [
        .. Workshop,
        new("Mail-send", "Sends a mail.", [new("to", "string"), new("text", "string")]),
        new("Timer-start", "Starts a timer.", [new("minutes", "integer")]),
        new("Machine-start", "Starts a machine.", [new("machine", "string")]),
        new("Machine-stop", "Stops a machine.", [new("machine", "string")]),
        new("Price-ask", "Tells what an item costs.", [new("item", "string")]),
    ];

    internal static readonly string[] SystemPrompts =
    [
        SystemPrompt,
        "You are a helpful assistant.",
        "You are the assistant of a workshop. Be brief.",
        "You keep the records of a small team. Remember what you are told.",
    ];
}
