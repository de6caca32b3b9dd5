using System.Text;
using System.Text.Json;
using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>LongBench's own configuration: each task's prompt and the most tokens of its answers.</summary>
internal sealed class LongBenchConfig
{
    private const string PromptFile = "dataset2prompt.json";
    private const string LengthFile = "dataset2maxlen.json";

    private readonly string folder;
    private readonly Dictionary<string, string> prompts;
    private readonly Dictionary<string, int> lengths;

    private LongBenchConfig(string folder, Dictionary<string, string> prompts, Dictionary<string, int> lengths) =>
        (this.folder, this.prompts, this.lengths) = (folder, prompts, lengths);

    /// <summary>Reads the folder's two files.</summary>
    /// <exception cref="ArgumentException">One is missing or wrong.</exception>
    public static LongBenchConfig Read(string folder) => new(folder, Read<string>(folder, PromptFile), Read<int>(folder, LengthFile));

    /// <summary>A task's prompt, with the names of the sample's fields in braces.</summary>
    /// <exception cref="ArgumentException">The file has none.</exception>
    public string Prompt(string task) => prompts.GetValueOrDefault(task) ?? throw Missing(task, PromptFile);

    /// <summary>The most tokens of a task's answers.</summary>
    /// <exception cref="ArgumentException">The file has none.</exception>
    public int MaxTokens(string task) => lengths.TryGetValue(task, out var tokens) ? tokens : throw Missing(task, LengthFile);

    /// <summary>Puts a sample's fields in the places of their names; "{{" and "}}" stand for braces.</summary>
    /// <exception cref="ArgumentException">A name is unknown, or a brace stands alone.</exception>
    public static string Fill(string template, IReadOnlyDictionary<string, string> fields)
    {
        var text = new StringBuilder();
        for (var i = 0; i < template.Length; i++)
        {
            var c = template[i];
            if (c is not ('{' or '}'))
            {
                text.Append(c);
            }
            else if (i + 1 < template.Length && template[i + 1] == c)
            {
                text.Append(c);
                i++;
            }
            else
            {
                var end = c == '{' ? template.IndexOf('}', i) : -1;
                var name = end < 0 ? null : template[(i + 1)..end];
                text.Append(name is not null && fields.TryGetValue(name, out var value)
                    ? value
                    : throw NoField(name is null ? $"{c}" : $"{{{name}}}", fields));
                i = end;
            }
        }

        return text.ToString();
    }

    private static ArgumentException NoField(string what, IReadOnlyDictionary<string, string> fields) => new(
        $"{PromptFile}: '{what}' in a prompt is no field of the samples ({string.Join(", ", fields.Keys)}); a brace is written twice.");

    private static Dictionary<string, T> Read<T>(string folder, string file)
    {
        var path = Path.Combine(folder, file);
        if (!File.Exists(path))
        {
            throw new ArgumentException($"--config: there is no file '{path}'. The folder needs {PromptFile} and {LengthFile}, as "
                + "LongBench's folder config has them.");
        }

        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, T>>(File.ReadAllText(path)) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"--config: '{path}' is wrong: {e.Message}", e);
        }
    }

    private ArgumentException Missing(string task, string file) =>
        new($"--config: '{Path.Combine(folder, file)}' has no entry \"{task}\".");
}
