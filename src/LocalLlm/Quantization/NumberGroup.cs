namespace LocalLlm.Quantization;

/// <summary>The numbers that share a scale and a minimum: a key's channel over all tokens, or a value's token over a group of channels.</summary>
internal readonly ref struct NumberGroup
{
    private readonly ReadOnlySpan<float> numbers;
    private readonly int stride;

    /// <summary>Takes <paramref name="count"/> numbers, each <paramref name="stride"/> after the one before, and looks for their range.</summary>
    public NumberGroup(ReadOnlySpan<float> numbers, int stride, int count, int maxCode)
    {
        this.numbers = numbers;
        (this.stride, Count, MaxCode) = (stride, count, maxCode);
        (Low, High) = (float.PositiveInfinity, float.NegativeInfinity);
        for (var i = 0; i < count; i++)
        {
            if (!float.IsFinite(this[i]))
            {
                (Low, High) = (float.NaN, float.NaN);
                return;
            }

            (Low, High) = (MathF.Min(Low, this[i]), MathF.Max(High, this[i]));
        }
    }

    /// <summary>How many numbers.</summary>
    public int Count { get; }

    /// <summary>The highest code: 3, 7 or 15.</summary>
    public int MaxCode { get; }

    /// <summary>The least number; NaN if one is NaN or infinite.</summary>
    public float Low { get; }

    /// <summary>The greatest number; NaN likewise.</summary>
    public float High { get; }

    /// <summary>False if a number is NaN or infinite.</summary>
    public bool IsFinite => !float.IsNaN(Low);

    /// <summary>Number <paramref name="index"/>.</summary>
    public float this[int index] => numbers[index * stride];

    /// <summary>The code of number <paramref name="index"/>.</summary>
    public int Code(int index, in GroupScale scale)
    {
        var divisor = scale.Scale == 0 ? float.PositiveInfinity : scale.Scale;
        return (int)Math.Clamp(MathF.Round((this[index] - scale.Minimum) / divisor), 0, MaxCode);
    }
}
