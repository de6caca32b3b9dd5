namespace LocalLlm.Chat.Jinja;

/// <summary>Python's stable sort, with errors where values have no order.</summary>
internal static class PythonSort
{
    /// <summary>Sorts in place; equal elements keep their order, also in reverse.</summary>
    public static void Sort<T>(RenderContext context, List<T> items, Func<T, object?> key, bool reverse)
    {
        context.Charge(items.Count * (long)(1 + Math.Log2(items.Count + 1)));
        var keys = items.Select((item, index) => (Key: key(item), Index: index, Item: item)).ToArray();
        MergeSort(keys, (a, b) => reverse
            ? PythonOperators.Compare(context, a.Key, b.Key) < 0
            : PythonOperators.Compare(context, b.Key, a.Key) < 0);
        for (var i = 0; i < keys.Length; i++)
            items[i] = keys[i].Item;
    }

    // Array.Sort wraps an exception of the comparison in another, and is not stable.
    private static void MergeSort<T>(T[] items, Func<T, T, bool> isAfter)
    {
        var (from, to) = (items, new T[items.Length]);
        for (var width = 1; width < items.Length; width *= 2)
        {
            for (var start = 0; start < items.Length; start += 2 * width)
            {
                var middle = Math.Min(start + width, items.Length);
                var end = Math.Min(start + 2 * width, items.Length);
                var (left, right) = (start, middle);
                for (var i = start; i < end; i++)
                    to[i] = right >= end || (left < middle && !isAfter(from[left], from[right])) ? from[left++] : from[right++];
            }
            (from, to) = (to, from);
        }
        if (!ReferenceEquals(from, items))
            from.CopyTo(items, 0);
    }
}
