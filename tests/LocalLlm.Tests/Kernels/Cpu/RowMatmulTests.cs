using System.Runtime.InteropServices;
using CsCheck;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cpu;

/// <summary>Every path and type against sums in double precision over the stored numbers; all buffers end at a guard page.</summary>
public sealed class RowMatmulTests : IDisposable
{
    private readonly WorkerTeam team = new(3);

    /// <summary>Paths this process has; a re-run with instructions switched off has fewer.</summary>
    public static TheoryData<string, string> PathsAndTypes =>
        [.. from path in SimdPaths.Supported from element in Enum.GetValues<NumberType>() select (path.ToString(), element.ToString())];

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_GridOfShapes_EqualsTheOracle(string path, string element)
    {
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        foreach (var k in new[] { 1, 3, 7, 8, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 72, 127, 128, 200, 256 })
        {
            foreach (var n in new[] { 1, 2, 3, 4, 5, 8, 11, 64 })
                Check(matmul, Enum.Parse<NumberType>(element), rows: 1 + ((k + n) % 16), n, k, hasBias: (k + n) % 2 == 0);
        }
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_EveryRowCount_EqualsTheOracle(string path, string element)
    {
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        for (var rows = 1; rows <= RowMatmul.MaxRows; rows++)
        {
            foreach (var hasBias in new[] { false, true })
                Check(matmul, Enum.Parse<NumberType>(element), rows, n: 37, k: 75, hasBias);
        }
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_EveryRowCount_GivesARowTheSameBits(string path, string element)
    {
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        var type = Enum.Parse<NumberType>(element);
        var random = new Random(9);
        foreach (var k in new[] { 8, 75, 100, 104 })
        {
            const int n = 37;
            double[] x = [.. Enumerable.Range(0, RowMatmul.MaxRows * k).Select(_ => Stored(type, random.NextDouble() - 0.5))];
            double[] w = [.. Enumerable.Range(0, n * k).Select(_ => Stored(type, random.NextDouble() - 0.5))];
            var all = Run(matmul, type, x, RowMatmul.MaxRows, w, n, k, bias: null);
            for (var rows = 1; rows < RowMatmul.MaxRows; rows++)
                Run(matmul, type, x[..(rows * k)], rows, w, n, k, bias: null).ShouldBe(all[..(rows * n)], $"{rows} rows, K = {k}");
        }
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_LargeMatrix_EqualsTheOracle(string path, string element)
    {
        // So large that a claim is cut by its bytes, not by the number of threads, and the last claim is a short one.
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        Check(matmul, Enum.Parse<NumberType>(element), rows: 3, n: 4095, k: 2056, hasBias: true);
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_RandomShapes_EqualsTheOracle(string path, string element)
    {
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        Gen.Select(Gen.Int[1, 16], Gen.Int[1, 150], Gen.Int[1, 300], Gen.Bool)
            .Sample((rows, n, k, hasBias) => Check(matmul, Enum.Parse<NumberType>(element), rows, n, k, hasBias), iter: 60, threads: 1);
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_NotFinite_Propagates(string path, string element)
    {
        var type = Enum.Parse<NumberType>(element);
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        const int k = 75, n = 6;
        // In a whole vector, in its second half and in the tail.
        foreach (var column in new[] { 0, 40, 74 })
        {
            var w = Enumerable.Repeat(1.0, n * k).ToArray();
            w[column] = double.NaN;
            w[k + column] = double.PositiveInfinity;
            w[(2 * k) + column] = double.NegativeInfinity;
            (w[(3 * k) + column], w[(3 * k) + ((column + 1) % k)]) = (double.PositiveInfinity, double.NegativeInfinity);
            w[(5 * k) + column] = double.NaN;
            var y = Run(matmul, type, [.. Enumerable.Repeat(1.0, 2 * k)], 2, w, n, k, bias: null);
            for (var row = 0; row < 2; row++)
                y[(row * n)..((row + 1) * n)].ShouldBe([double.NaN, double.PositiveInfinity, double.NegativeInfinity, double.NaN, k, double.NaN], $"column {column}, row {row}");
        }

        // Too large for the type: infinity, as rounding to nearest has it, never a NaN or a wrapped number.
        var large = type == NumberType.Float16 ? 65504.0 : Stored(type, type == NumberType.Float32 ? float.MaxValue : 3.38e38);
        Run(matmul, type, [large, large], 2, [2], 1, 1, null).ShouldBe([double.PositiveInfinity, double.PositiveInfinity]);
    }

    [Theory]
    [MemberData(nameof(PathsAndTypes))]
    public void Multiply_ByOne_KeepsEveryStoredNumber(string path, string element)
    {
        var type = Enum.Parse<NumberType>(element);
        if (type == NumberType.Float32)
            return;
        // All 65,536 numbers of the type, subnormal ones too: each as a weight, in vectors and in the tail, and back.
        using var matmul = new RowMatmul(team, Enum.Parse<SimdPath>(path));
        using var w = new GuardedMemory(65536 * 2);
        using var x = new GuardedMemory(17 * 2);
        using var y = new GuardedMemory(65536 / 16 * 2);
        var weights = MemoryMarshal.Cast<byte, ushort>(w.Span);
        for (var i = 0; i < weights.Length; i++)
            weights[i] = (ushort)i;
        var one = type == NumberType.BFloat16 ? (ushort)0x3F80 : BitConverter.HalfToUInt16Bits((Half)1);
        for (var column = 0; column < 16; column++)
        {
            // Rows with an infinity or NaN are left out: 0 times it is NaN.
            var inputs = MemoryMarshal.Cast<byte, ushort>(x.Span);
            inputs.Clear();
            inputs[column] = one;
            matmul.Multiply(type, x.Address, 1, w.Address, 65536 / 16, 16, 0, y.Address);
            for (var row = 0; row < 65536 / 16; row++)
            {
                var rowHasSpecial = Enumerable.Range(0, 16).Any(c => !double.IsFinite(Read(type, w.Span, (row * 16) + c)));
                var (expected, actual) = (Read(type, w.Span, (row * 16) + column), Read(type, y.Span, row));
                if (!rowHasSpecial && expected != actual)
                    Assert.Fail($"{type} bits {(row * 16) + column:X4}: expected {expected}, got {actual}");
            }
        }
    }

    [Fact]
    public void Multiply_BFloat16Halves_RoundToEven()
    {
        // 1 + 2^-8 lies between 1 and 1 + 2^-7: to the even one, 1. 1 + 3·2^-8 goes up to 1 + 2^-6.
        using var matmul = new RowMatmul(team);
        Run(matmul, NumberType.BFloat16, [1, 1], 1, [1, 1.0 / 256, 1, 3.0 / 256], 2, 2, null).ShouldBe([1, 1 + (1.0 / 64)]);
    }

    [Fact]
    public void Multiply_Again_AllocatesNothing()
    {
        using var matmul = new RowMatmul(team);
        using var memory = new GuardedMemory(64 * 64 * 4);
        matmul.Multiply(NumberType.Float32, memory.Address, 1, memory.Address, 8, 64, 0, memory.Address + 8192);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 50; i++)
            matmul.Multiply(NumberType.Float32, memory.Address, 1, memory.Address, 8, 64, 0, memory.Address + 8192);

        GC.GetAllocatedBytesForCurrentThread().ShouldBe(before);
    }

    [Fact]
    public void Multiply_OutOfRange_IsRefused()
    {
        using var matmul = new RowMatmul(team);
        Should.Throw<ArgumentOutOfRangeException>(() => matmul.Multiply(NumberType.Float32, 0, 0, 0, 4, 4, 0, 0));
        Should.Throw<ArgumentOutOfRangeException>(() => matmul.Multiply(NumberType.Float32, 0, 17, 0, 4, 4, 0, 0));
        Should.Throw<ArgumentOutOfRangeException>(() => matmul.Multiply(NumberType.Float32, 0, 1, 0, 0, 4, 0, 0));
        Should.Throw<ArgumentOutOfRangeException>(() => matmul.Multiply(NumberType.Float32, 0, 1, 0, 4, 0, 0, 0));
    }

    public void Dispose() => team.Dispose();

    private static void Check(RowMatmul matmul, NumberType type, int rows, int n, int k, bool hasBias)
    {
        var random = new Random((((rows * 1000) + n) * 1000) + k);
        double[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(_ => Stored(type, (random.NextDouble() * 2) - 1))];
        var (x, w, bias) = (Numbers(rows * k), Numbers(n * k), hasBias ? Numbers(n) : null);

        var y = Run(matmul, type, x, rows, w, n, k, bias);

        // Half a unit of the type, and the error of a float32 sum of k products of numbers below 1.
        var unit = type switch { NumberType.BFloat16 => 1.0 / 256, NumberType.Float16 => 1.0 / 2048, _ => 0 };
        for (var row = 0; row < rows; row++)
        {
            for (var output = 0; output < n; output++)
            {
                var (sum, size) = (bias?[output] ?? 0, 1.0);
                for (var i = 0; i < k; i++)
                {
                    var product = x[(row * k) + i] * w[(output * k) + i];
                    sum += product;
                    size += Math.Abs(product);
                }

                var actual = y[(row * n) + output];
                var error = Math.Abs(actual - sum);
                if (!(error <= (Math.Abs(sum) * unit * 1.01) + (size * 1e-6)))
                    Assert.Fail($"{matmul.Path} {type} rows {rows}, N {n}, K {k}, bias {hasBias}: y[{row}, {output}] is {actual}, expected {sum}");
            }
        }
    }

    private static double[] Run(RowMatmul matmul, NumberType type, double[] x, int rows, double[] w, int n, int k, double[]? bias)
    {
        using var xMemory = Memory(type, x);
        using var wMemory = Memory(type, w);
        using var biasMemory = bias is null ? null : Memory(type, bias);
        using var yMemory = new GuardedMemory(rows * n * Bytes(type));
        matmul.Multiply(type, xMemory.Address, rows, wMemory.Address, n, k, biasMemory?.Address ?? 0, yMemory.Address);
        return [.. Enumerable.Range(0, rows * n).Select(i => Read(type, yMemory.Span, i))];
    }

    private static GuardedMemory Memory(NumberType type, double[] values)
    {
        var memory = new GuardedMemory(values.Length * Bytes(type));
        for (var i = 0; i < values.Length; i++)
            Write(type, memory.Span, i, values[i]);
        return memory;
    }

    private static int Bytes(NumberType type) => type == NumberType.Float32 ? 4 : 2;

    private static double Stored(NumberType type, double value)
    {
        Span<byte> bytes = stackalloc byte[4];
        Write(type, bytes, 0, value);
        return Read(type, bytes, 0);
    }

    private static double Read(NumberType type, Span<byte> bytes, int index) => type switch
    {
        NumberType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)MemoryMarshal.Cast<byte, ushort>(bytes)[index] << 16),
        NumberType.Float16 => (double)MemoryMarshal.Cast<byte, Half>(bytes)[index],
        _ => MemoryMarshal.Cast<byte, float>(bytes)[index],
    };

    private static void Write(NumberType type, Span<byte> bytes, int index, double value)
    {
        if (type == NumberType.BFloat16)
            MemoryMarshal.Cast<byte, ushort>(bytes)[index] = (ushort)(BitConverter.SingleToUInt32Bits((float)value) >> 16);   // Cut, not rounded: any number will do.
        else if (type == NumberType.Float16)
            MemoryMarshal.Cast<byte, Half>(bytes)[index] = (Half)value;
        else
            MemoryMarshal.Cast<byte, float>(bytes)[index] = (float)value;
    }
}
