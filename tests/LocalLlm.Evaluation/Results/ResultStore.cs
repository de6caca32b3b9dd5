using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace LocalLlm.Evaluation.Results;

/// <summary>What makes a unit of work the same as one done before.</summary>
/// <param name="Evaluation">The evaluation's command.</param>
/// <param name="Model">The model's name, for people.</param>
/// <param name="Fingerprint">Of the model's files.</param>
/// <param name="Method">The method's id.</param>
/// <param name="Parameters">All that decides what the method does: its options, the window chosen for it.</param>
/// <param name="Settings">All else: lengths, seeds, texts and a version of the evaluation's code.</param>
internal sealed record ResultKey(string Evaluation, string Model, string Fingerprint, string Method, string Parameters, string Settings);

/// <summary>
/// Finished units of work, one JSON line each in a file for each evaluation, appended and flushed at once. A last line that was cut off is
/// left out, and removed by the next one. A key stored twice counts with its last value.
/// </summary>
internal sealed class ResultStore
{
    private static readonly JsonSerializerOptions Json = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Converters = { new JsonStringEnumConverter() },
    };

    private readonly string folder;
    private readonly Dictionary<string, Dictionary<ResultKey, JsonElement>> evaluations = [];

    /// <summary>Opens a store; its folder is made when the first result is stored.</summary>
    /// <exception cref="ArgumentException">It is a file.</exception>
    public ResultStore(string folder)
    {
        if (File.Exists(folder))
            throw new ArgumentException($"--results {folder} is a file; a folder is needed.");
        this.folder = folder;
    }

    /// <summary>The value of a unit of work; null if it is not done yet.</summary>
    /// <exception cref="InvalidDataException">A line of the file is broken, or not of this type.</exception>
    public T? Find<T>(ResultKey key)
        where T : class =>
        Read(key.Evaluation).TryGetValue(key, out var value) ? Value<T>(key.Evaluation, value) : null;

    /// <summary>All units of an evaluation, in the order in which they were stored.</summary>
    /// <exception cref="InvalidDataException">A line of the file is broken, or not of this type.</exception>
    public IEnumerable<(ResultKey Key, T Value)> All<T>(string evaluation)
        where T : class =>
        Read(evaluation).Select(entry => (entry.Key, Value<T>(evaluation, entry.Value)));

    /// <summary>Stores a finished unit of work.</summary>
    public void Add<T>(ResultKey key, T value)
        where T : class
    {
        var entries = Read(key.Evaluation);
        var line = new Line(key, DateTimeOffset.UtcNow, JsonSerializer.SerializeToElement(value, Json));
        Directory.CreateDirectory(folder);
        using (var file = new FileStream(PathOf(key.Evaluation), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read))
        {
            file.SetLength(EndOfLines(file));
            file.Seek(0, SeekOrigin.End);
            file.Write(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(line, Json) + "\n"));
            file.Flush(flushToDisk: true);
        }

        entries[key] = line.Value;
    }

    // The length without a last line that was cut off.
    private static long EndOfLines(FileStream file)
    {
        for (var end = file.Length; end > 0; end--)
        {
            file.Position = end - 1;
            if (file.ReadByte() == '\n')
                return end;
        }

        return 0;
    }

    private string PathOf(string evaluation) => Path.Combine(folder, evaluation + ".jsonl");

    private T Value<T>(string evaluation, JsonElement value)
    {
        try
        {
            return value.Deserialize<T>(Json) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{PathOf(evaluation)} holds a result of another form ({e.Message}); delete the file or choose another --results.", e);
        }
    }

    private Dictionary<ResultKey, JsonElement> Read(string evaluation)
    {
        if (evaluations.TryGetValue(evaluation, out var known))
            return known;
        var entries = new Dictionary<ResultKey, JsonElement>();
        var path = PathOf(evaluation);
        var text = File.Exists(path) ? ReadText(path) : "";
        var lines = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        for (var i = 0; i < lines.Length; i++)
        {
            try
            {
                var line = JsonSerializer.Deserialize<Line>(lines[i], Json)!;
                entries[line.Key] = line.Value;
            }
            catch (Exception e) when (e is JsonException or ArgumentNullException or NullReferenceException)
            {
                throw new InvalidDataException(
                    $"{path}: line {i + 1} is broken ({e.Message}); delete the line, or the file, or choose another --results.", e);
            }
        }

        return evaluations[evaluation] = entries;
    }

    // Another run may be writing.
    private static string ReadText(string path)
    {
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }

    private sealed record Line(ResultKey Key, DateTimeOffset At, JsonElement Value);
}
