using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LocalLlm.Kernels.Cpu;

/// <summary>
/// y = x · Wᵀ + bias for the few rows of a decode step, bound by the time it takes to read W once. x is [rows, K], W [N, K], bias [N], y
/// [rows, N], all row-major, contiguous and of one <see cref="NumberType"/>; sums are float32 and are rounded once, at the end, to nearest even.
/// NaN and infinity propagate. Threads take blocks of rows of W. For one thread at a time.
/// </summary>
internal sealed unsafe class RowMatmul : IDisposable
{
    /// <summary>The most rows of x.</summary>
    public const int MaxRows = 16;

    /// <summary>
    /// The most bytes of W that a thread claims at once: long enough to stream (what it asked for beyond its end is asked for in vain, unless it
    /// claims the next), short enough that the threads end together. Small matrices are cut into <see cref="ClaimsPerThread"/>.
    /// </summary>
    private const int MaxClaimBytes = 512 * 1024;

    private const int ClaimsPerThread = 8;

    private readonly WorkerTeam team;
    private readonly Dictionary<NumberType, RowWork> works;
    private float* wideInputs;
    private nuint wideCapacity;

    /// <summary>Creates the kernel.</summary>
    /// <param name="team">The threads.</param>
    /// <param name="path">Which vectors to use; null for the widest.</param>
    public RowMatmul(WorkerTeam team, SimdPath? path = null)
    {
        this.team = team;
        Path = SimdPaths.Require(path ?? SimdPaths.Best);
        works = Path switch
        {
            SimdPath.Vector512 => Works<Lanes512>(),
            SimdPath.Vector256 => Works<Lanes256>(),
            _ => Works<Lanes128>(),
        };
    }

    /// <summary>Which vectors it uses.</summary>
    public SimdPath Path { get; }

    /// <summary>Computes y = x · Wᵀ + bias.</summary>
    /// <param name="element">The type of all numbers.</param>
    /// <param name="x">The address of [rows, K].</param>
    /// <param name="rows">1 to <see cref="MaxRows"/>.</param>
    /// <param name="w">The address of [N, K].</param>
    /// <param name="n">N.</param>
    /// <param name="k">K.</param>
    /// <param name="bias">The address of [N], or 0 for none.</param>
    /// <param name="y">The address of [rows, N]; must not overlap the others.</param>
    public void Multiply(NumberType element, nint x, int rows, nint w, int n, int k, nint bias, nint y)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, MaxRows);
        ArgumentOutOfRangeException.ThrowIfLessThan(n, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(k, 1);
        var work = works[element];
        var wide = WideInputs((nuint)rows * (nuint)k);
        work.Widen((byte*)x, wide, rows * k);
        work.Set(wide, rows, (byte*)w, n, k, (byte*)bias, (byte*)y, team.Threads);
        team.Run(work, work.Items);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(wideInputs);
        wideInputs = null;
        wideCapacity = 0;
    }

    private static Dictionary<NumberType, RowWork> Works<TLanes>() where TLanes : unmanaged, ILanes<TLanes> => new()
    {
        [NumberType.BFloat16] = new RowWork<TLanes, BFloat16Numbers>(),
        [NumberType.Float16] = new RowWork<TLanes, Float16Numbers>(),
        [NumberType.Float32] = new RowWork<TLanes, Float32Numbers>(),
    };

    private float* WideInputs(nuint count)
    {
        if (count > wideCapacity)
        {
            NativeMemory.AlignedFree(wideInputs);
            wideInputs = null;
            wideCapacity = 0;
            wideInputs = (float*)NativeMemory.AlignedAlloc(count * sizeof(float), 64);
            wideCapacity = count;
        }

        return wideInputs;
    }

    /// <summary>One call's arguments, and the loops over them, whatever the types.</summary>
    private abstract class RowWork : ParallelWork
    {
        public int Items { get; protected set; }

        public abstract void Widen(byte* x, float* wide, int count);

        public abstract void Set(float* x, int rows, byte* w, int n, int k, byte* bias, byte* y, int threads);
    }

    private sealed class RowWork<TLanes, TNumbers> : RowWork
        where TLanes : unmanaged, ILanes<TLanes>
        where TNumbers : struct, INumbers
    {
        private float* x;
        private byte* w;
        private byte* bias;
        private byte* y;
        private int rows;
        private int n;
        private int k;
        private int claimRows;
        private int threads;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Widen(byte* x, float* wide, int count)
        {
            var i = 0;
            for (; i <= count - TLanes.Count; i += TLanes.Count)
                TLanes.Store(TNumbers.Load<TLanes>(x + ((nint)i * TNumbers.Bytes)), wide + i);
            for (; i < count; i++)
                wide[i] = TNumbers.Read(x + ((nint)i * TNumbers.Bytes));
        }

        public override void Set(float* x, int rows, byte* w, int n, int k, byte* bias, byte* y, int threads)
        {
            (this.rows, this.n, this.k, this.threads) = (rows, n, k, threads);
            this.x = x;
            this.w = w;
            this.bias = bias;
            this.y = y;
            var evenRows = (n + (ClaimsPerThread * threads) - 1) / (ClaimsPerThread * threads);
            claimRows = (Math.Clamp(evenRows, 4, Math.Max(4, MaxClaimBytes / (k * TNumbers.Bytes))) + 3) / 4 * 4;
            Items = (n + claimRows - 1) / claimRows;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Execute(int item, int worker)
        {
            var first = item * claimRows;
            var end = Math.Min(first + claimRows, n);
            var stride = (nint)k * TNumbers.Bytes;
            var sums = stackalloc float[16];
            var row = first;
            for (; row <= end - 4; row += 4)
            {
                // All inputs before the next rows of weights, which come from memory for the first inputs and from the cache for the rest.
                var weights = w + (row * stride);
                // The rows behind a thread's own are another thread's by now; its own next ones follow when each thread has had a claim.
                var next = row + 8 <= end ? weights + (4 * stride) : w + ((first + ((nint)threads * claimRows)) * stride);
                var input = 0;
                for (; input <= rows - 4; input += 4)
                {
                    WeightTiles<TLanes, TNumbers>.FourByFour(weights, stride, x + ((nint)input * k), k, sums, next);
                    Write(sums, row, 4, input, 4);
                }

                if (input <= rows - 2)
                {
                    WeightTiles<TLanes, TNumbers>.FourByTwo(weights, stride, x + ((nint)input * k), k, sums, next);
                    Write(sums, row, 4, input, 2);
                    input += 2;
                }

                if (input < rows)
                {
                    WeightTiles<TLanes, TNumbers>.Four(weights, stride, x + ((nint)input * k), k, sums, next);
                    Write(sums, row, 4, input, 1);
                }
            }

            for (; row < end; row++)
            {
                for (var input = 0; input < rows; input++)
                {
                    sums[0] = WeightTiles<TLanes, TNumbers>.One(w + (row * stride), x + ((nint)input * k), k);
                    Write(sums, row, 1, input, 1);
                }
            }
        }

        // sums: [inputs, rows of weights].
        private void Write(float* sums, int row, int rowCount, int input, int inputCount)
        {
            for (var i = 0; i < inputCount; i++)
            {
                var target = y + ((((nint)(input + i) * n) + row) * TNumbers.Bytes);
                for (var r = 0; r < rowCount; r++)
                {
                    var value = sums[(i * rowCount) + r];
                    if (bias != null)
                        value += TNumbers.Read(bias + ((nint)(row + r) * TNumbers.Bytes));
                    TNumbers.Write(value, target + (r * TNumbers.Bytes));
                }
            }
        }
    }
}
