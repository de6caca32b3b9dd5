namespace LocalLlm.KvCache;

/// <summary>What one layer of a cache holds, read-only: pages and full-precision rows.</summary>
internal sealed record KvView;
