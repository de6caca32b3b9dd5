using System.Globalization;
using System.Text;

namespace DemoModel.Tokenizer;

/// <summary>Learns merges: first those that make every group of two and three digits one token, then the most frequent pairs of a corpus.</summary>
internal sealed class BytePairTrainer
{
    private readonly List<(int Left, int Right)> _merges = [];
    private readonly Dictionary<(int, int), int> _ids = [];

    /// <param name="corpus">How often each piece of split text occurs.</param>
    /// <param name="vocabularySize">Ids in all: bytes, merges, and <paramref name="added"/>.</param>
    /// <param name="added">Added tokens.</param>
    public static BytePairEncoder Train(IReadOnlyDictionary<string, long> corpus, int vocabularySize, IReadOnlyList<string> added)
    {
        var trainer = new BytePairTrainer();
        trainer.AddDigitGroups();
        trainer.AddFrequentPairs(corpus, vocabularySize - 256 - added.Count);
        return new(trainer._merges, added);
    }

    private void AddDigitGroups()
    {
        for (int n = 0; n < 100; n++)
            Add('0' + n / 10, '0' + n % 10);
        for (int n = 0; n < 1000; n++)
        {
            string digits = n.ToString("000", CultureInfo.InvariantCulture);
            (int a, int b, int c) = (digits[0], digits[1], digits[2]);
            (int left, int right) = (_ids[(a, b)], _ids[(b, c)]);

            // Encoding merges the pair of lower rank first, so the last merge joins what is then left.
            if (left <= right)
                Add(left, c);
            else
                Add(a, right);
        }
    }

    private void AddFrequentPairs(IReadOnlyDictionary<string, long> corpus, int mergeCount)
    {
        List<(List<int> Ids, long Count)> words =
            [.. corpus.Where(w => !char.IsAsciiDigit(w.Key[0])).OrderBy(w => w.Key, StringComparer.Ordinal)
                .Select(w => (Encoding.UTF8.GetBytes(w.Key).Select(b => (int)b).ToList(), w.Value))];
        while (_merges.Count < mergeCount)
        {
            var counts = new Dictionary<(int, int), long>();
            foreach ((List<int> ids, long count) in words)
            {
                for (int i = 0; i + 1 < ids.Count; i++)
                    counts[(ids[i], ids[i + 1])] = counts.GetValueOrDefault((ids[i], ids[i + 1])) + count;
            }

            if (counts.Count == 0)
                throw new InvalidOperationException($"The corpus gives only {_merges.Count} merges; {mergeCount} are wanted. Lower the vocabulary size.");
            (int left, int right) = counts.OrderByDescending(c => c.Value).ThenBy(c => c.Key).First().Key;
            int id = Add(left, right);
            foreach ((List<int> ids, _) in words)
            {
                for (int i = 0; i + 1 < ids.Count; i++)
                {
                    if (ids[i] != left || ids[i + 1] != right)
                        continue;
                    ids[i] = id;
                    ids.RemoveAt(i + 1);
                }
            }
        }
    }

    private int Add(int left, int right)
    {
        int id = 256 + _merges.Count;
        _merges.Add((left, right));
        _ids[(left, right)] = id;
        return id;
    }
}
