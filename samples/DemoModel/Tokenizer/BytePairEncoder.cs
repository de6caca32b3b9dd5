using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace DemoModel.Tokenizer;

/// <summary>A byte-level BPE tokenizer: 256 bytes, merges in order of rank, then added tokens. Encodes plain text only.</summary>
public sealed partial class BytePairEncoder
{
    /// <summary>Splits text before merging, as Qwen2 does but with numbers in groups of up to three digits as in Llama 3.</summary>
    public const string SplitPattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private readonly Dictionary<(int, int), int> _merged = [];
    private readonly Dictionary<string, int> _added = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int[]> _cache = new(StringComparer.Ordinal);
    private readonly List<byte[]> _bytes = [];

    /// <summary>Creates a tokenizer from its merges, by rank, and its added tokens.</summary>
    public BytePairEncoder(IReadOnlyList<(int Left, int Right)> merges, IReadOnlyList<string> added)
    {
        ArgumentNullException.ThrowIfNull(merges);
        ArgumentNullException.ThrowIfNull(added);
        Merges = merges;
        for (int i = 0; i < 256; i++)
            _bytes.Add([(byte)i]);
        foreach ((int left, int right) in merges)
        {
            _merged[(left, right)] = _bytes.Count;
            _bytes.Add([.. _bytes[left], .. _bytes[right]]);
        }

        foreach (string token in added)
        {
            _added[token] = _bytes.Count;
            _bytes.Add(Encoding.UTF8.GetBytes(token));
        }
    }

    /// <summary>Reads back the tokenizer.json of a model folder written by this program.</summary>
    public static BytePairEncoder Load(string folder)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json")));
        JsonElement model = json.RootElement.GetProperty("model");
        Dictionary<string, int> ids = model.GetProperty("vocab").Deserialize<Dictionary<string, int>>()!;

        // The 256 bytes come first in the vocabulary in their visible form; ids of merges follow from their order.
        (int, int)[] merges = [.. model.GetProperty("merges").EnumerateArray().Select(m => m.GetString()!.Split(' ')).Select(m => (ids[m[0]], ids[m[1]]))];
        return new(merges, [.. json.RootElement.GetProperty("added_tokens").EnumerateArray().Select(t => t.GetProperty("content").GetString()!)]);
    }

    /// <summary>Pairs of ids in order of rank; merge i makes the id 256 + i.</summary>
    public IReadOnlyList<(int Left, int Right)> Merges { get; }

    /// <summary>The added tokens and their ids, which follow the merges'.</summary>
    public IReadOnlyDictionary<string, int> Added => _added;

    /// <summary>Number of ids.</summary>
    public int Count => _bytes.Count;

    /// <summary>The bytes that an id stands for.</summary>
    public ReadOnlySpan<byte> BytesOf(int id) => _bytes[id];

    /// <summary>Encodes text; added tokens in it are recognised only by <see cref="EncodeWithAdded"/>.</summary>
    public List<int> Encode(string text)
    {
        var ids = new List<int>();
        foreach (Match match in Splitter().Matches(text))
            ids.AddRange(EncodeWord(match.Value));
        return ids;
    }

    /// <summary>Encodes text in which added tokens are recognised.</summary>
    public List<int> EncodeWithAdded(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        int from = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '<')
                continue;
            string? token = _added.Keys.FirstOrDefault(a => string.CompareOrdinal(text, i, a, 0, a.Length) == 0);
            if (token is null)
                continue;
            ids.AddRange(Encode(text[from..i]));
            ids.Add(_added[token]);
            from = i + token.Length;
            i = from - 1;
        }

        ids.AddRange(Encode(text[from..]));
        return ids;
    }

    /// <summary>The text of ids.</summary>
    public string Decode(IEnumerable<int> ids) => Encoding.UTF8.GetString([.. ids.SelectMany(id => _bytes[id])]);

    internal static IEnumerable<string> Split(string text) => Splitter().Matches(text).Select(m => m.Value);

    private int[] EncodeWord(string word)
    {
        lock (_cache)
        {
            if (_cache.TryGetValue(word, out int[]? known))
                return known;
        }

        List<int> ids = [.. Encoding.UTF8.GetBytes(word).Select(b => (int)b)];
        while (ids.Count > 1)
        {
            int best = int.MaxValue, at = -1;
            for (int i = 0; i + 1 < ids.Count; i++)
            {
                if (_merged.TryGetValue((ids[i], ids[i + 1]), out int id) && id < best)
                    (best, at) = (id, i);
            }

            if (at < 0)
                break;
            ids[at] = best;
            ids.RemoveAt(at + 1);
        }

        int[] result = [.. ids];
        lock (_cache)
        {
            if (_cache.Count < 200_000)
                _cache[word] = result;
        }

        return result;
    }

    [GeneratedRegex(SplitPattern, RegexOptions.CultureInvariant)]
    private static partial Regex Splitter();
}
