namespace LocalLlm;

/// <summary>How the scale and the minimum of each group of a page's numbers are stored.</summary>
public enum KvScaleFormat
{
    /// <summary>
    /// 8 bits each: the scale as a power of two times one of eight steps, the minimum relative to it. For 2-bit codes with groups of 64 a quarter
    /// of a bit per number less than <see cref="Half"/>, with hardly more error.
    /// </summary>
    Byte,

    /// <summary>16 bits each, IEEE half; numbers up to ±65504.</summary>
    Half,
}
