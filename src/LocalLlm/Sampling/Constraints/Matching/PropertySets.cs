using System.Numerics;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>Sets of an object's named properties, numbered so that a frame can hold them. 0 is the empty set.</summary>
internal sealed class PropertySets
{
    private readonly List<ulong[]> sets = [[]];
    private readonly Dictionary<string, int> numbers = new() { [""] = 0 };

    public bool Contains(int set, int property) => property >> 6 < sets[set].Length && (sets[set][property >> 6] >> property & 1) != 0;

    /// <summary>The set with one property more.</summary>
    public int With(int set, int property)
    {
        var words = new ulong[Math.Max(sets[set].Length, (property >> 6) + 1)];
        sets[set].CopyTo(words, 0);
        words[property >> 6] |= 1ul << property;
        var key = string.Join(' ', words);
        if (!numbers.TryGetValue(key, out var number))
        {
            numbers.Add(key, number = sets.Count);
            sets.Add(words);
        }

        return number;
    }

    public int Count(int set) => sets[set].Sum(BitOperations.PopCount);
}
