using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.Loading;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

public class RotaryEmbeddingTests
{
    [Fact]
    public void At_FarPositions_KeepsTheAnglesExact()
    {
        LibTorch.EnsureLoaded();
        using var scope = NewDisposeScope();
        var config = new RopeConfig { RotaryDim = 16, MaxPositions = 131_072, OriginalMaxPositions = 131_072 };
        using var rotary = new RotaryEmbedding(config, 131_072, CPU);
        long[] positions = [0, 1, 4097, 65_537, 131_071];

        var (cosine, sine) = rotary.At(tensor(positions));

        var frequencies = RotaryFrequencies.Compute(config, 131_072).InverseFrequencies;
        cosine.shape.ShouldBe([positions.Length, 1, 8]);
        // In float32 an angle of 131,071 is off by up to 4e-3.
        Floats(cosine).ShouldBe(positions.SelectMany(p => frequencies.Select(f => (float)Math.Cos(p * f))), 1e-6);
        Floats(sine).ShouldBe(positions.SelectMany(p => frequencies.Select(f => (float)Math.Sin(p * f))), 1e-6);

        static float[] Floats(Tensor t) => MemoryMarshal.Cast<byte, float>(t.bytes).ToArray();
    }
}
