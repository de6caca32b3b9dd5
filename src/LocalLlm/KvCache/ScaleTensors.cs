using LocalLlm.Interop;
using LocalLlm.Quantization;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>
/// <see cref="ScaleCodec"/> in torch operations, many groups at once. Torch cannot look at a float's bits here, so scale bytes are found by search among
/// the points where rounding changes them, and decoded by tables.
/// </summary>
internal static class ScaleTensors
{
    private static readonly Scalar Sixteen = 16.ToScalar();
    private static readonly Scalar LargestMultiple = 127.ToScalar();
    private static readonly Scalar LargestByte = 255.ToScalar();
    private static readonly Scalar PartOfScale = (1f / 256).ToScalar();
    private static readonly Scalar LeastScaleOfMinimum = ScaleCodec.LeastScaleOfMinimum.ToScalar();
    private static readonly Scalar[] MaxCodes = [.. Enumerable.Range(0, 16).Select(code => code.ToScalar())];
    private static readonly Scalar[] ScaleOfRange = [.. Enumerable.Range(0, 16).Select(code => (1f / code).ToScalar())];

    private static readonly float[] ByteScales = [.. Enumerable.Range(0, 256).Select(ScaleCodec.DecodeByteScale)];

    // z·|z| for each byte.
    private static readonly float[] Squares = [.. Enumerable.Range(0, 256).Select(bits => (float)((sbyte)bits * Math.Abs((int)(sbyte)bits)))];

    // From point i on a scale is stored as byte i + 1; from the last one on it cannot be stored.
    private static readonly float[] RoundingPoints =
        [.. Enumerable.Range(0, 256).Select(i => BitConverter.Int32BitsToSingle((2 * (i + ScaleCodec.ByteBias) + 1) << ScaleCodec.ByteShift - 1))];

    /// <summary>Fits groups that lie along a dimension.</summary>
    /// <param name="format">The stored form.</param>
    /// <param name="x">Float32 numbers.</param>
    /// <param name="dimension">The dimension of a group's numbers.</param>
    /// <param name="maxCode">The highest code.</param>
    /// <returns>
    /// Codes, uint8, of x's shape and contiguous; stored scale and minimum, which keep the dimension with size 1; one bool: all groups could be fitted.
    /// </returns>
    public static (Tensor Codes, Tensor Scale, Tensor Minimum, Tensor Fits) Fit(KvScaleFormat format, Tensor x, int dimension, int maxCode)
    {
        var (low, high) = (x.amin([dimension], keepdim: true), x.amax([dimension], keepdim: true));
        var (scale, minimum, fits) = format == KvScaleFormat.Byte ? EncodeBytes(low, high, maxCode) : EncodeHalves(low, high, maxCode);
        var (wideScale, wideMinimum) = Decode(format, scale, minimum);
        var divisor = wideScale.masked_fill(wideScale.eq(Scalars.Zero), Scalars.PositiveInfinity);
        var codes = x.sub(wideMinimum).div_(divisor).round_().clamp_(Scalars.Zero, MaxCodes[maxCode]).to(ScalarType.Byte).contiguous();
        return (codes, scale, minimum, fits);
    }

    /// <summary>Scales and minima as float32, contiguous, of stored ones of the same shape.</summary>
    public static (Tensor Scale, Tensor Minimum) Decode(KvScaleFormat format, Tensor scale, Tensor minimum)
    {
        if (format == KvScaleFormat.Half)
            return (scale.to(ScalarType.Float32).contiguous(), minimum.to(ScalarType.Float32).contiguous());
        var wideScale = LookUp(ByteScales, scale);
        return (wideScale, LookUp(Squares, minimum).mul_(wideScale.mul(PartOfScale)));
    }

    private static (Tensor Scale, Tensor Minimum, Tensor Fits) EncodeHalves(Tensor low, Tensor high, int maxCode)
    {
        var minimum = low.to(ScalarType.Float16);
        var wideMinimum = minimum.to(ScalarType.Float32).add_(Scalars.Zero, Scalars.One); // −0 becomes +0
        minimum = wideMinimum.to(ScalarType.Float16);
        var scale = high.sub(wideMinimum).mul_(ScaleOfRange[maxCode]).clamp_min_(Scalars.Zero).add_(Scalars.Zero, Scalars.One).to(ScalarType.Float16);
        return (scale, minimum, scale.isfinite().logical_and_(minimum.isfinite()).all());
    }

    private static (Tensor Scale, Tensor Minimum, Tensor Fits) EncodeBytes(Tensor low, Tensor high, int maxCode)
    {
        var size = low.abs();
        var least = maximum(high.sub(low).mul_(ScaleOfRange[maxCode]), size.mul(LeastScaleOfMinimum));
        var index = bucketize(least, tensor(RoundingPoints, device: low.device), outInt32: true, right: true); // how many points are ≤ it
        var fits = low.isfinite().logical_and_(high.isfinite()).logical_and_(index.le(LargestByte)).all();
        var scale = index.clamp_max(LargestByte).to(ScalarType.Byte);

        var root = size.div_(LookUp(ByteScales, scale)).sqrt_().mul_(Sixteen).round_().clamp_max_(LargestMultiple);
        var multiple = root.mul_(low.sign()).to(ScalarType.Int32).to(ScalarType.Byte); // two's complement: integers wrap, floats need not
        return (scale, multiple, fits);
    }

    private static Tensor LookUp(float[] table, Tensor bytes) =>
        tensor(table, device: bytes.device).index_select(0, bytes.to(ScalarType.Int32).flatten()).view(bytes.shape);
}
