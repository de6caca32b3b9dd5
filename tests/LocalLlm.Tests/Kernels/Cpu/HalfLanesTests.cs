using System.Runtime.Intrinsics;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cpu;

public class HalfLanesTests
{
    [Fact]
    public void ToSingle_AllHalves_EqualTheConversion()
    {
        for (var bits = 0; bits <= ushort.MaxValue; bits++)
        {
            var expected = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            var single = HalfLanes.ToSingle(Vector512.Create(bits))[bits % 16];
            if (float.IsNaN(expected))
                float.IsNaN(single).ShouldBeTrue();
            else
                BitConverter.SingleToInt32Bits(single).ShouldBe(BitConverter.SingleToInt32Bits(expected));
        }
    }

    [Fact]
    public void FromSingle_HalvesAndTheirNeighbours_AreRoundedAsTheConversion()
    {
        // Each half, the middle to the next one, the floats around both; and beyond the range.
        for (var bits = 0; bits < 0x7C00; bits++)
        {
            var (half, next) = (BitConverter.UInt16BitsToHalf((ushort)bits), (float)BitConverter.UInt16BitsToHalf((ushort)(bits + 1)));
            var middle = ((float)half + (float.IsFinite(next) ? next : 65536f)) / 2;
            Check((float)half);
            Check(middle);
            Check(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(middle) + 1));
            Check(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(middle) - 1));
        }

        foreach (var x in new[] { 65536f, 1e30f, float.PositiveInfinity, 1e-10f, float.Epsilon })
            Check(x);

        static void Check(float x)
        {
            foreach (var signed in new[] { x, -x })
                HalfLanes.FromSingle(Vector512.Create(signed))[5].ShouldBe(BitConverter.HalfToUInt16Bits((Half)signed), $"{signed}");
        }
    }
}
