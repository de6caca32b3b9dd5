namespace LocalLlm;

/// <summary>Which KV cache a conversation gets, and how much is kept.</summary>
public sealed record KvCacheOptions
{
    /// <summary>Which tokens stay in full precision, and what becomes of the others.</summary>
    public KvCacheKind Kind { get; set; } = KvCacheKind.StreamingQuant;

    /// <summary>
    /// W of the LogQuant rule and of a streaming window: between 2W and 3W recent or log-distributed tokens stay in full precision; R of
    /// KIVI: up to so many do. 32, 64 or 128; a streaming window and R may be any multiple of 32 up to 4,096.
    /// </summary>
    public int Window { get; set; } = 64;

    /// <summary>The first tokens of a sequence, which stay in full precision for ever and outside every page; 0 to 1,024.</summary>
    public int SinkTokens { get; set; } = 4;

    /// <summary>
    /// Tokens of a page, over which each channel of the keys has one scale: 32, 64 or 128, a divisor of <see cref="Window"/>; null takes
    /// <see cref="Window"/>. The LogQuant kinds have pages of <see cref="Window"/> tokens.
    /// </summary>
    public int? PageTokens { get; set; }

    /// <summary>
    /// Bits of a key's number in a page: 2, 3 or 4. Where this, <see cref="SlowKeyBits"/> and <see cref="ValueBits"/> are all null, each layer has the bits that the model
    /// folder's kv_cache.json names; where there is no such file, or one of them is set, null means 2.
    /// </summary>
    public int? KeyBits { get; set; }

    /// <summary>
    /// Bits of a key's number in the slower half of the rotation pairs, in tiles of 16 channels: 3 or 4 where <see cref="KeyBits"/> is 2; what is no more
    /// than <see cref="KeyBits"/> has no effect. Slow pairs tell what a token is, fast ones where it stands. Null as for <see cref="KeyBits"/>, or else 3.
    /// </summary>
    public int? SlowKeyBits { get; set; }

    /// <summary>Bits of a value's number in a page: 2, 3 or 4. Null as for <see cref="KeyBits"/>, or else 2.</summary>
    public int? ValueBits { get; set; }

    /// <summary>How the scales of a page are stored.</summary>
    public KvScaleFormat Scales { get; set; } = KvScaleFormat.Byte;

    /// <summary>
    /// Seek each group's best scale and minimum when a page is made, instead of those of its range: more work once, a fraction of the error and of the
    /// divergence. With torch operations it goes through host memory.
    /// </summary>
    public bool ClipSearch { get; set; } = true;

    /// <summary>
    /// How many of the first and as many of the last layers hold their pages at <see cref="BoundaryKeyBits"/> and
    /// <see cref="BoundaryValueBits"/>; at most half of the layers.
    /// </summary>
    public int BoundaryLayers { get; set; }

    /// <summary>Bits of a key's number in the pages of the <see cref="BoundaryLayers"/>: 2, 3 or 4.</summary>
    public int BoundaryKeyBits { get; set; } = 4;

    /// <summary>Bits of a value's number in the pages of the <see cref="BoundaryLayers"/>: 2, 3 or 4.</summary>
    public int BoundaryValueBits { get; set; } = 4;

    /// <summary>
    /// Memory for the caches of all conversations, running and retained, which is never exceeded: bytes, text such as "2GiB", or a share of what is free on the device
    /// once the model is loaded, such as "40%". Null takes 40 % of that on a CPU, 80 % on a GPU. It is taken as it is needed, and then kept for reuse.
    /// </summary>
    public MemoryBudget? MemoryBytes { get; set; }

    /// <summary>How many conversations' caches are retained for a follow-up turn; the least recently used leaves first.</summary>
    public int RetainedConversations { get; set; } = 16;

    /// <summary>
    /// A directory for caches that leave memory: they are read back when their conversation goes on, also after a restart of the process, which takes a fraction of
    /// the time of computing them again. It is made if it is not there; its files hold conversations and are readable by their owner only. Null loses those caches.
    /// </summary>
    public string? SpillDirectory { get; set; }

    /// <summary>
    /// The most bytes of all files in <see cref="SpillDirectory"/>: a number, or text such as "20GiB"; the least recently used leave first. Null for no limit.
    /// </summary>
    public MemoryBudget? SpillBytes { get; set; }
}
