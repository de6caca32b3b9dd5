namespace LocalLlm.Quantization;

/// <summary>
/// The scale and minimum of a group by search: its range is narrowed in steps, each candidate is refitted to its codes by least squares, and the one
/// with the least squared error is taken. Never worse in squared error than the range itself.
/// </summary>
/// <remarks>
/// For each part a of <see cref="Shrinks"/> the range loses (1 − a)/2 of its width at either end. All sums are float32, in ascending order of the group's
/// numbers, so that an implementation with one group per vector lane gives the same bits. A candidate whose scale cannot be stored is passed over; of
/// equal errors the first wins.
/// </remarks>
internal static class ClipSearch
{
    /// <summary>The parts of the range that are tried; the first is the range itself.</summary>
    public static ReadOnlySpan<float> Shrinks => [1f, 0.9f, 0.8f, 0.7f, 0.6f];

    /// <summary>The best scale and minimum of a finite group.</summary>
    /// <returns>False if those of the whole range cannot be stored.</returns>
    public static bool TryFit(in NumberGroup group, KvScaleFormat format, out GroupScale best)
    {
        if (!ScaleCodec.TryEncodeRange(format, group.Low, group.High, group.MaxCode, out best))
            return false;
        var least = float.PositiveInfinity;
        var width = group.High - group.Low;
        foreach (var shrink in Shrinks)
        {
            var cut = width * ((1 - shrink) * 0.5f);
            if (!ScaleCodec.TryEncodeRange(format, group.Low + cut, group.High - cut, group.MaxCode, out var candidate))
                continue;
            var sums = Sums(group, candidate);
            if (sums.Error < least)
                (least, best) = (sums.Error, candidate);

            // The line through (code, x − m): exact integers but for the sums over x.
            var variance = group.Count * sums.CodeCode - sums.Code * sums.Code;
            var slope = (group.Count * sums.CodeX - sums.Code * sums.X) / variance;
            if (!(variance > 0 && slope > 0))
                continue;
            var minimum = candidate.Minimum + (sums.X - slope * sums.Code) / group.Count;
            if (!ScaleCodec.TryEncode(format, slope, minimum, out candidate))
                continue;
            sums = Sums(group, candidate);
            if (sums.Error < least)
                (least, best) = (sums.Error, candidate);
        }

        return true;
    }

    // Over a group's numbers: squared error, code, code², x − m, code·(x − m).
    private static (float Error, float Code, float CodeCode, float X, float CodeX) Sums(in NumberGroup group, in GroupScale scale)
    {
        var (error, codes, codeCode, xs, codeX) = (0f, 0f, 0f, 0f, 0f);
        for (var i = 0; i < group.Count; i++)
        {
            float code = group.Code(i, scale);
            var x = group[i] - scale.Minimum;
            var difference = group[i] - (code * scale.Scale + scale.Minimum);
            error += difference * difference;
            codes += code;
            codeCode += code * code;
            xs += x;
            codeX += code * x;
        }

        return (error, codes, codeCode, xs, codeX);
    }
}
