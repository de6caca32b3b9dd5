using System.Text.Json;

namespace LocalLlm.Soak;

/// <summary>What a client does with an answer.</summary>
internal enum Reading
{
    /// <summary>Takes every update as it comes.</summary>
    Fast,

    /// <summary>Lingers now and then.</summary>
    Slow,

    /// <summary>Stops reading until the engine says that a request pauses.</summary>
    Stuck,

    /// <summary>Cancels, before or after the first updates.</summary>
    Cancels,

    /// <summary>Goes away in the middle without cancelling anything.</summary>
    Leaves,
}

/// <summary>One turn of a planned conversation.</summary>
/// <param name="Text">What the user says.</param>
/// <param name="MaxTokens">The most tokens of the answer.</param>
/// <param name="Constraint">What the answer must be; null for anything.</param>
/// <param name="Seed">Draws tokens by this seed; null is greedy.</param>
/// <param name="Priority">The request's priority.</param>
/// <param name="Reading">What the client does.</param>
/// <param name="Updates">After how many updates it cancels or leaves.</param>
/// <param name="DelayMilliseconds">How long it waits before it asks.</param>
internal sealed record PlannedTurn(
    string Text, int MaxTokens, OutputConstraint? Constraint, long? Seed, int Priority, Reading Reading, int Updates, int DelayMilliseconds);

/// <summary>Conversations of random shape: the same for the same seed.</summary>
/// <param name="seed">The seed.</param>
/// <param name="systemPrompts">How many beginnings the conversations share.</param>
internal sealed class SoakPlan(int seed, int systemPrompts = 6)
{
    private static readonly string[] Words =
        ["number", "weather", "please", "tell", "remember", "city", "red", "house", "river", "seven", "what", "is", "the", "a", "how", "many",
         "and", "again", "é", "雪", "\n"];

    private static readonly JsonElement Schema = JsonSerializer.Deserialize<JsonElement>("""
        {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "count": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["name", "count"],
         "additionalProperties": false}
        """);

    /// <summary>The turns of a conversation; the first entry is its system prompt. Two conversations in a row begin with the same turn.</summary>
    public (string System, List<PlannedTurn> Turns) Conversation(int index)
    {
        var shared = new Random(HashCode(seed, index / 2));
        var random = new Random(HashCode(seed, index, 1));
        var system = new Random(HashCode(seed, index / 2 % systemPrompts, 2));
        var turns = new List<PlannedTurn> { Turn(shared, index) };
        for (var more = random.Next(4); more > 0; more--)
            turns.Add(Turn(random, index));
        return (Text(system, 40 + system.Next(120)), turns);
    }

    /// <summary>Texts to embed.</summary>
    public List<string> Texts(int index)
    {
        var random = new Random(HashCode(seed, index, 3));
        return [.. Enumerable.Range(0, 1 + random.Next(4)).Select(_ => Text(random, 1 + random.Next(random.Next(5) == 0 ? 400 : 40)))];
    }

    private static PlannedTurn Turn(Random random, int index)
    {
        var reading = random.Next(20) switch
        {
            0 => Reading.Cancels,
            1 => Reading.Leaves,
            2 or 3 => Reading.Slow,
            _ => index % 40 == 7 ? Reading.Stuck : Reading.Fast,
        };
        // An answer that is longer than the engine goes ahead of its reader.
        var constraint = reading == Reading.Stuck ? OutputConstraint.Regex("([0-9] ){330}") : random.Next(10) switch
        {
            0 => OutputConstraint.Choice("red", "the river", "seven houses"),
            1 => OutputConstraint.Regex("[a-z]{3,9}( [a-z]{2,7}){2,5}"),
            2 => OutputConstraint.JsonSchema(Schema),
            3 => OutputConstraint.JsonObject,
            _ => null,
        };
        return new PlannedTurn(
            Text(random, random.Next(8) == 0 ? 100 + random.Next(250) : 3 + random.Next(30)),
            reading == Reading.Stuck ? 320 : 1 + random.Next(random.Next(6) == 0 ? 120 : 40),
            constraint, random.Next(5) == 0 ? random.Next() : null, random.Next(4) - 1, reading, random.Next(12), random.Next(4) == 0 ? random.Next(60) : 0);
    }

    private static string Text(Random random, int words) => string.Join(' ', Enumerable.Range(0, words).Select(_ => Words[random.Next(Words.Length)]));

    // Not System.HashCode, which differs from process to process.
    private static int HashCode(params ReadOnlySpan<int> values)
    {
        var hash = 17;
        foreach (var value in values)
            hash = unchecked((hash * 486187739) + value);
        return hash & int.MaxValue;
    }
}
