using LocalLlm.Interop;
using LocalLlm.Quantization;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>Codes to the planes of a page and back, in torch operations on bytes: a lane's code i lies in its byte i·width/8.</summary>
internal static class CodePlanes
{
    private const int LaneBytes = sizeof(uint);

    /// <summary>Packs the keys' section.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="keys">[H, P, D] uint8.</param>
    /// <returns>[H, KeyCodeBytes] uint8.</returns>
    public static Tensor PackKeys(PageLayout layout, Tensor keys)
    {
        keys = PadChannels(keys, layout.Channels);
        var low = PackKeys(layout, LowBits(keys), 2);
        return layout.KeyHighChannels == 0 ? low : cat([low, PackKeys(layout, HighBits(HighChannels(layout, keys, 2)), layout.SlowKeyBits - 2)], 1);
    }

    /// <summary>Packs the values' section.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="values">[H, P, D] uint8.</param>
    /// <returns>[H, ValueCodeBytes] uint8.</returns>
    public static Tensor PackValues(PageLayout layout, Tensor values)
    {
        values = PadChannels(values, layout.Channels);
        var low = PackValues(layout, LowBits(values), 2);
        return layout.ValueBits == 2 ? low : cat([low, PackValues(layout, HighBits(values), layout.ValueBits - 2)], 1);
    }

    /// <summary>The keys' codes of pages.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes">[N, H, KeyCodeBytes] uint8.</param>
    /// <returns>[H, D, N, P] uint8: tokens stay innermost, so that the loops over them are vectorised.</returns>
    public static Tensor UnpackKeys(PageLayout layout, Tensor codes)
    {
        var low = Plane(PageLayout.KeyOffset, 2, layout.Channels);
        if (layout.KeyHighChannels > 0)
        {
            var high = Plane(layout.KeyHighOffset, layout.SlowKeyBits - 2, layout.KeyHighChannels);
            if (layout.KeyHighChannels == layout.Channels)
                low = Joined(low, high);
            else
                low.index_add_(1, HighIndices(layout, low.device), high.mul(Number(4, low.device)), Scalars.One);
        }

        return low.narrow(1, 0, layout.HeadDim);

        Tensor Plane(int offset, int width, int channels)
        {
            var (pages, heads, lanes) = (codes.shape[0], codes.shape[1], Lanes(channels, width));
            // The bytes are brought into order before they are unpacked: a quarter or an eighth of the codes.
            var bytes = codes.narrow(2, offset, lanes * layout.Tokens * LaneBytes).view(pages, heads, lanes, layout.Tokens, LaneBytes)
                .permute(1, 2, 4, 0, 3).contiguous().view(heads, lanes * LaneBytes, 1, pages * layout.Tokens);
            return Unpack(bytes, width).view(heads, -1, pages, layout.Tokens).narrow(1, 0, channels);
        }
    }

    /// <summary>The values' codes of pages.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="codes">[N, H, ValueCodeBytes] uint8.</param>
    /// <returns>[H, N, P, D] uint8: channels stay innermost.</returns>
    public static Tensor UnpackValues(PageLayout layout, Tensor codes)
    {
        var low = Plane(0, 2);
        return layout.ValueBits == 2 ? low : Joined(low, Plane(layout.ValueHighOffset - layout.ValueOffset, layout.ValueBits - 2));

        Tensor Plane(int offset, int width)
        {
            var (pages, heads, lanes) = (codes.shape[0], codes.shape[1], Lanes(layout.Tokens, width));
            var bytes = codes.narrow(2, offset, lanes * layout.Channels * LaneBytes).view(pages, heads, lanes, layout.Channels, LaneBytes)
                .narrow(3, 0, layout.HeadDim).permute(1, 0, 2, 4, 3).contiguous().view(heads, pages * lanes * LaneBytes, 1, layout.HeadDim);
            return Unpack(bytes, width).view(heads, pages, layout.Tokens, layout.HeadDim);
        }
    }

    // The channels that have bits in the keys' high plane.
    private static Tensor HighChannels(PageLayout layout, Tensor codes, long dimension) =>
        layout.KeyHighChannels == layout.Channels ? codes : codes.index_select(dimension, HighIndices(layout, codes.device));

    private static Tensor HighIndices(PageLayout layout, Device device) =>
        tensor([.. Enumerable.Range(0, layout.Channels).Where(c => layout.IsKeyHigh(c / PageLayout.LaneCodes)).Select(c => (long)c)], device: device);

    // [H, P, D] → [H, bytes of the plane]: the codes of a byte are neighbouring channels, its neighbour lanes tokens.
    private static Tensor PackKeys(PageLayout layout, Tensor codes, int width)
    {
        var (heads, lanes) = (codes.shape[0], Lanes((int)codes.shape[2], width));
        var bytes = PadChannels(codes, lanes * LaneCodes(width)).view(heads, layout.Tokens, lanes * LaneBytes, ByteCodes(width));
        return Sum(bytes, Weights(width, codes.device), 3).view(heads, layout.Tokens, lanes, LaneBytes).transpose(1, 2).reshape(heads, -1);
    }

    // [H, P, D'] → [H, bytes of the plane]: the codes of a byte are neighbouring tokens, its neighbour lanes channels.
    private static Tensor PackValues(PageLayout layout, Tensor codes, int width)
    {
        var (heads, lanes) = (codes.shape[0], Lanes(layout.Tokens, width));
        var bytes = codes.view(heads, lanes, LaneBytes, ByteCodes(width), layout.Channels);
        return Sum(bytes, Weights(width, codes.device).view(-1, 1), 3).transpose(2, 3).reshape(heads, -1);
    }

    private static Tensor PadChannels(Tensor codes, long channels)
    {
        var missing = channels - codes.shape[2];
        return missing == 0 ? codes : cat([codes, zeros(codes.shape[0], codes.shape[1], missing, ScalarType.Byte, codes.device)], 2);
    }

    private static Tensor Sum(Tensor codes, Tensor weights, int dimension) =>
        codes.mul(weights).sum(dimension, type: ScalarType.Int32).to(ScalarType.Byte);

    // bytes: [a, b, 1, c] → [a, b, codes of a byte, c]
    private static Tensor Unpack(Tensor bytes, int width)
    {
        var shifts = tensor([.. Enumerable.Range(0, ByteCodes(width)).Select(i => (byte)(i * width))], device: bytes.device).view(-1, 1);
        return bytes.bitwise_right_shift(shifts).bitwise_and_(Number((1 << width) - 1, bytes.device));
    }

    private static Tensor LowBits(Tensor codes) => codes.bitwise_and(Number(3, codes.device));

    private static Tensor HighBits(Tensor codes) => codes.bitwise_right_shift(Number(2, codes.device));

    private static Tensor Joined(Tensor low, Tensor high) => high.mul(Number(4, low.device)).add_(low, Scalars.One);

    private static Tensor Weights(int width, Device device) =>
        tensor([.. Enumerable.Range(0, ByteCodes(width)).Select(i => (byte)(1 << i * width))], device: device);

    private static Tensor Number(int number, Device device) => tensor((byte)number, device: device);

    private static int ByteCodes(int width) => 8 / width;

    private static int LaneCodes(int width) => 32 / width;

    private static int Lanes(int count, int width) => (count + LaneCodes(width) - 1) / LaneCodes(width);
}
