using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Tests.KvCache;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Kernels.Cpu;

/// <summary>Against the torch operations whose place they take, in every type, at widths with and without a remainder.</summary>
public sealed unsafe class LayerOperationsTests
{
    public LayerOperationsTests() => LibTorch.EnsureLoaded();

    public static TheoryData<int, ScalarType> Cases()
    {
        var data = new TheoryData<int, ScalarType>();
        foreach (var path in SimdPaths.Supported)
        {
            foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16 })
                data.Add((int)path, type);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Norm_WithAndWithoutAnAddition_EqualsTorch(int path, ScalarType type)
    {
        foreach (var width in new[] { 1, 8, 40, 64, 100 })
        {
            using var scope = NewDisposeScope();
            var (x, added, weight) = (Random(type, 3, width), Random(type, 3, width), Random(type, width));
            var output = empty(3, width, type);
            var sum = x + added;

            LayerOperations.For((SimdPath)path).Norm(
                NumberTypes.Of(type), Pointer(x), width, Pointer(added), Pointer(weight), Pointer(output), width, 3, width, 1e-5f);

            ShouldBeClose(x, sum, 0, type);
            ShouldBeClose(output, TorchNorm(sum, weight), 4, type);
            LayerOperations.For((SimdPath)path).Norm(NumberTypes.Of(type), Pointer(x), width, null, Pointer(weight), Pointer(x), width, 3, width, 1e-5f);
            ShouldBeClose(x, TorchNorm(sum, weight), 4, type); // in place
        }

        static Tensor TorchNorm(Tensor x, Tensor weight)
        {
            var wide = x.to(ScalarType.Float32);
            return wide.mul((wide.square().mean([-1], keepdim: true) + 1e-5).rsqrt()).to(x.dtype) * weight;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Rotate_PartOfTheHeads_EqualsTheFormula(int path, ScalarType type)
    {
        foreach (var (headDim, rotaryDim) in new[] { (8, 8), (64, 64), (96, 40), (128, 128) })
        {
            using var scope = NewDisposeScope();
            const int rows = 3, heads = 5, rotated = 4; // the last head and what lies behind R stay
            var x = Random(type, rows, heads, headDim);
            var (angles, half) = (randn(rows, 1, rotaryDim / 2), rotaryDim / 2);
            var (cosine, sine) = (angles.cos(), angles.sin());
            var expected = x.clone();
            var (a, b) = (x.narrow(1, 0, rotated).narrow(2, 0, half).to(ScalarType.Float32), x.narrow(1, 0, rotated).narrow(2, half, half).to(ScalarType.Float32));
            expected.narrow(1, 0, rotated).narrow(2, 0, half).copy_((a * cosine) - (b * sine));
            expected.narrow(1, 0, rotated).narrow(2, half, half).copy_((b * cosine) + (a * sine));

            LayerOperations.For((SimdPath)path).Rotate(
                NumberTypes.Of(type), Pointer(x), heads * headDim, rows, rotated, headDim, rotaryDim, (float*)Pointer(cosine), (float*)Pointer(sine));

            ShouldBeClose(x, expected, 2, type, smallest: 1); // a difference of two products
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void SwiGlu_AnyNumbers_EqualsTorch(int path, ScalarType type)
    {
        foreach (var width in new[] { 1, 16, 33, 200, 1000 })
        {
            using var scope = NewDisposeScope();
            var gateUp = Random(type, 2, 2 * width) * 8;
            gateUp[0, 0] = -100;
            gateUp[1, 0] = 100;
            var output = empty(2, width, type);

            LayerOperations.For((SimdPath)path).SwiGlu(NumberTypes.Of(type), Pointer(gateUp), Pointer(output), 2, width);

            var expected = nn.functional.silu(gateUp.narrow(1, 0, width)) * gateUp.narrow(1, width, width);
            ShouldBeClose(output, expected, 4, type);
            // A narrow type is rounded where torch rounds, so that all but a chance tie has the same bits.
            if (type != ScalarType.Float32 && width >= 100)
                output.eq(expected).to(ScalarType.Float32).mean().item<float>().ShouldBeGreaterThan(0.985f);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Add_AnyNumbers_EqualsTorch(int path, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var (x, added) = (Random(type, 77), Random(type, 77));
        var expected = x + added;

        LayerOperations.For((SimdPath)path).Add(NumberTypes.Of(type), Pointer(x), Pointer(added), 77);

        ShouldBeClose(x, expected, 0, type);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Norm_NotANumber_StaysOne(int path, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var (x, weight) = (Random(type, 1, 40), Random(type, 40));
        x[0, 7] = float.NaN;

        LayerOperations.For((SimdPath)path).Norm(NumberTypes.Of(type), Pointer(x), 40, null, Pointer(weight), Pointer(x), 40, 1, 40, 1e-5f);

        KvStream.Floats(x).ShouldAllBe(f => float.IsNaN(f));
    }

    private static Tensor Random(ScalarType type, params long[] shape) => randn(shape).to(type);

    private static byte* Pointer(Tensor tensor) => (byte*)TensorMemory.Address(tensor);

    // Within so many units of the last place that the type keeps.
    private static void ShouldBeClose(Tensor actual, Tensor expected, int units, ScalarType type, double smallest = 0.01)
    {
        var unit = type switch { ScalarType.Float32 => 1.2e-7, ScalarType.BFloat16 => 1.0 / 128, _ => 1.0 / 1024 };
        var (a, e) = (KvStream.Floats(actual), KvStream.Floats(expected));
        for (var i = 0; i < e.Length; i++)
        {
            if (!(Math.Abs(a[i] - e[i]) <= units * unit * Math.Max(Math.Abs(e[i]), smallest)))
                throw new ShouldAssertException($"Element {i} is {a[i]}, expected {e[i]} within {units} units.");
        }
    }
}
