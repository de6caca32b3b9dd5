namespace LocalLlm.KvCache;

/// <summary>A cache whose content can be written down and read back by <see cref="KvCacheFactory.Load"/>.</summary>
internal interface ISavableKvCache : IKvCache
{
    /// <summary>
    /// Writes what the cache holds, without what is reserved and unused. Between steps only. The bytes are those of docs/kv-layout.md; they do not
    /// depend on how the content came about, nor on the device.
    /// </summary>
    void Save(CacheWriter writer);
}
