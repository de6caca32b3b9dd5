namespace LocalLlm.Loading;

/// <summary>
/// A model folder's kv_cache.json: the bits of each layer's pages, as they were measured for this model. Layers differ in what rounding costs them
/// (arXiv 2502.04420), so that the same bytes go further where the few that mind have more of them.
/// </summary>
/// <param name="KeyBits">For each layer, bits of a key's number.</param>
/// <param name="SlowKeyBits">For each layer, bits of a key's number in the slower half of the rotation pairs; no more than the key's has no effect.</param>
/// <param name="ValueBits">For each layer, bits of a value's number.</param>
internal sealed record CacheBitsConfig(IReadOnlyList<int> KeyBits, IReadOnlyList<int> SlowKeyBits, IReadOnlyList<int> ValueBits)
{
    /// <summary>The file's name.</summary>
    public const string FileName = "kv_cache.json";

    /// <summary>Reads and checks a file; null if something is wrong with it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="layers">Layers of the model; null if they are not known.</param>
    /// <param name="errors">Told what is wrong.</param>
    public static CacheBitsConfig? Read(string path, int? layers, LoadErrors errors)
    {
        if (JsonFields.Read(path, errors) is not { } fields)
            return null;
        var (keys, slowKeys, values) = (Bits("key_bits"), Bits("slow_key_bits"), Bits("value_bits"));
        if (keys is null || slowKeys is null || values is null)
            return null;
        if (keys.Where((bits, layer) => bits > 2 && slowKeys[layer] > bits).Any())
        {
            fields.Fail("slow_key_bits", "must be no more than the layer's key_bits where those are above 2.");
            return null;
        }

        return new CacheBitsConfig(keys, slowKeys, values);

        IReadOnlyList<int>? Bits(string name)
        {
            if (!fields.Has(name))
            {
                fields.Fail(name, "is missing; it must be a list of 2, 3 or 4 for each layer.");
                return null;
            }

            var bits = fields.Ints(name, 2, 4);
            if (bits is null || layers is null || bits.Count == layers)
                return bits;
            fields.Fail(name, $"has {bits.Count} entries; the model has {layers} layers.");
            return null;
        }
    }
}
