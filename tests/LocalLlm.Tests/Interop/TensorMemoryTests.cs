using LocalLlm.Interop;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Interop;

public class TensorMemoryTests
{
    public TensorMemoryTests() => LibTorch.EnsureLoaded();

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public unsafe void Address_OfAViewThatIsContiguous_IsWhereItsNumbersLie(ScalarType type)
    {
        using var whole = zeros([5, 7], type);
        using var rows = whole.narrow(0, 2, 2);

        TensorMemory.Address(rows).ShouldBe(TensorMemory.Address(whole) + (nint)(2 * 7 * whole.element_size()));

        using var threes = whole.fill_(3f);
        var expected = type == ScalarType.Float32 ? 0x40400000 : type == ScalarType.BFloat16 ? 0x4040 : 0x4200;
        var first = (byte*)TensorMemory.Address(rows);
        (type == ScalarType.Float32 ? *(int*)first : *(ushort*)first).ShouldBe(expected);
    }

    [Fact]
    public void Address_OfColumns_IsTheFirstOnes()
    {
        using var matrix = zeros(4, 6);
        using var columns = matrix.narrow(1, 2, 3); // rows are apart, a row's numbers together

        TensorMemory.Address(columns).ShouldBe(TensorMemory.Address(matrix) + (2 * sizeof(float)));
    }

    [Fact]
    public void Address_OfWhatAKernelCannotRead_IsRefused()
    {
        using var matrix = zeros(4, 6);
        using var transposed = matrix.t();
        using var meta = zeros([4, 6], device: META);

        Should.Throw<ArgumentException>(() => TensorMemory.Address(transposed)).Message.ShouldContain("6 apart");
        Should.Throw<ArgumentException>(() => TensorMemory.Address(meta)).Message.ShouldContain("meta");
    }
}
