using System.Globalization;

namespace DemoModel.Dialogues;

/// <summary>The stock room behind the <c>Stock</c> tools. Results are short texts; the model repeats them in its answer.</summary>
public sealed class StockRoom
{
    private readonly Dictionary<string, int> _units = new(StringComparer.Ordinal);

    /// <summary>How many units of an item there are. An item never seen before has a stock that follows from its name.</summary>
    public string Check(string item) => Describe(Units(item), item);

    /// <summary>Adds units; the result is the new stock.</summary>
    public string Add(string item, int quantity) => Change(item, Math.Max(0, quantity));

    /// <summary>Removes units, never below zero; the result is the new stock.</summary>
    public string Remove(string item, int quantity) => Change(item, -Math.Max(0, quantity));

    private string Change(string item, int by)
    {
        int units = (int)Math.Clamp((long)Units(item) + by, 0, int.MaxValue);
        _units[item] = units;
        return Describe(units, item);
    }

    private int Units(string item)
    {
        ArgumentNullException.ThrowIfNull(item);
        if (!_units.TryGetValue(item, out int units))
        {
            // A hash of the name, so that every run of a script gives the same results.
            units = 20 + item.Aggregate(7, (hash, c) => (hash * 31 + c) & 0xffff) % 400;
            _units[item] = units;
        }

        return units;
    }

    private static string Describe(int units, string item) => string.Create(CultureInfo.InvariantCulture, $"{units} units of {item}");
}

/// <summary>The price list behind <c>Price-ask</c>.</summary>
public static class PriceList
{
    /// <summary>What an item costs; it follows from its name.</summary>
    public static string Ask(string item)
    {
        ArgumentNullException.ThrowIfNull(item);
        int euros = 5 + item.Aggregate(3, (hash, c) => (hash * 37 + c) & 0xffff) % 190;
        return string.Create(CultureInfo.InvariantCulture, $"{euros} euros for {item}");
    }
}

/// <summary>The calendar behind the <c>Calendar</c> tools.</summary>
public sealed class DayBook
{
    private readonly Dictionary<string, SortedDictionary<string, string>> _days = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Books an appointment; a later one at the same time replaces it.</summary>
    public string Book(string day, string time, string title)
    {
        ArgumentNullException.ThrowIfNull(day);
        ArgumentNullException.ThrowIfNull(time);
        if (!_days.TryGetValue(day, out SortedDictionary<string, string>? entries))
            _days[day] = entries = new(StringComparer.Ordinal);
        entries[time] = title;
        return $"{title} on {day} at {time}";
    }

    /// <summary>The appointments of a day, in order of time, or "nothing".</summary>
    public string List(string day)
    {
        ArgumentNullException.ThrowIfNull(day);
        return _days.TryGetValue(day, out SortedDictionary<string, string>? entries)
            ? string.Join("; ", entries.Select(e => $"{e.Value} at {e.Key}"))
            : "nothing";
    }
}

/// <summary>The notes behind the <c>Notes</c> tools.</summary>
public sealed class NoteBook
{
    private readonly Dictionary<string, string> _notes = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Saves a note; a later one on the same topic replaces it.</summary>
    public string Save(string topic, string text)
    {
        ArgumentNullException.ThrowIfNull(topic);
        _notes[topic] = text;
        return "saved";
    }

    /// <summary>The note on a topic, or "no such note".</summary>
    public string Read(string topic)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return _notes.GetValueOrDefault(topic, "no such note");
    }
}
