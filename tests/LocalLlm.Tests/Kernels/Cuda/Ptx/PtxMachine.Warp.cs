using static LocalLlm.Tests.Kernels.Cuda.Ptx.PtxNumbers;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The instructions of a warp.</summary>
internal sealed unsafe partial class PtxMachine
{
    private const int TileRows = 16, TileColumns = 8, TileDepth = 16; // of an mma

    private void RunWarpInstruction(in PtxInstruction i, int first)
    {
        races.PassWarpInstruction(first / WarpThreads);
        switch (i.Op)
        {
            case PtxOp.WarpBarrier:
                RequireAll(i, first, i.A);
                races.PassWarpBarrier(first / WarpThreads);
                break;
            case PtxOp.VoteAny:
                RequireAll(i, first, i.B);
                var any = false;
                for (var lane = 0; lane < WarpThreads; lane++)
                    any |= next[first + lane] >= 0 && RegistersOf(first + lane)[i.A] != 0;
                for (var lane = 0; lane < WarpThreads; lane++)
                    RegistersOf(first + lane)[i.D] = any ? 1UL : 0;
                break;
            case PtxOp.Shuffle:
                RequireAll(i, first, i.E);
                Shuffle(i, first);
                break;
            default:
                MultiplyTile(i, first);
                break;
        }
    }

    // Every thread names all threads of the warp.
    private void RequireAll(in PtxInstruction i, int first, int mask)
    {
        for (var lane = 0; lane < WarpThreads; lane++)
        {
            if (next[first + lane] >= 0 && (uint)RegistersOf(first + lane)[mask] != uint.MaxValue)
                throw Fault(i, "is not for all threads of the warp");
        }
    }

    // From lane xor b, within the segment that c gives; otherwise from the lane itself.
    private void Shuffle(in PtxInstruction i, int first)
    {
        var values = stackalloc ulong[WarpThreads];
        for (var lane = 0; lane < WarpThreads; lane++)
            values[lane] = RegistersOf(first + lane)[i.A];
        for (var lane = 0; lane < WarpThreads; lane++)
        {
            if (next[first + lane] < 0)
                continue;
            var r = RegistersOf(first + lane);
            var (clamp, segment) = ((int)r[i.C] & 31, (int)r[i.C] >> 8 & 31);
            var source = lane ^ ((int)r[i.B] & 31);
            var isInside = source <= ((lane & segment) | (clamp & ~segment));
            source = isInside ? source : lane;
            if (next[first + source] < 0)
                throw Fault(i, "reads of a thread that has ended");
            r[i.D] = values[source];
            if (i.Vector is [var predicate])
                r[predicate] = isInside ? 1UL : 0;
        }
    }

    // Thread 4g + t holds rows g and g + 8 of A and of the sums, and column g of B; of these k, or columns, 2t and 2t + 1, and for A and B those 8 further on.
    private void MultiplyTile(in PtxInstruction i, int first)
    {
        float* a = stackalloc float[TileRows * TileDepth], b = stackalloc float[TileDepth * TileColumns], sums = stackalloc float[TileRows * TileColumns];
        var v = i.Vector!; // 4 sums, 4 of A, 2 of B, 4 addends
        var isHalf = i.Bits == 11;
        for (var lane = 0; lane < WarpThreads; lane++)
        {
            if (next[first + lane] < 0)
                throw Fault(i, "is for all threads of the warp, of which one has ended");
            var r = RegistersOf(first + lane);
            var (g, t) = (lane / 4, lane % 4);
            for (var n = 0; n < 8; n++)
            {
                var (row, k) = (g + (n / 2 % 2 * 8), (2 * t) + (n % 2) + (n / 4 * 8));
                a[(row * TileDepth) + k] = Element(r[v[4 + (n / 2)]]);
                if (n < 4)
                {
                    b[(((2 * t) + (n % 2) + (n / 2 * 8)) * TileColumns) + g] = Element(r[v[8 + (n / 2)]]);
                    sums[((g + (n / 2 * 8)) * TileColumns) + (2 * t) + (n % 2)] = Float(r[v[10 + n]]);
                }

                float Element(ulong pair) => isHalf ? PtxNumbers.Half(pair >> (n % 2 * 16)) : PtxNumbers.Bfloat16(pair >> (n % 2 * 16) & 0xFFFF);
            }
        }

        for (var row = 0; row < TileRows; row++)
        {
            for (var k = 0; k < TileDepth; k++)
            {
                var factor = a[(row * TileDepth) + k];
                for (var column = 0; column < TileColumns; column++)
                    sums[(row * TileColumns) + column] += factor * b[(k * TileColumns) + column];
            }
        }

        for (var lane = 0; lane < WarpThreads; lane++)
        {
            var r = RegistersOf(first + lane);
            for (var n = 0; n < 4; n++)
                r[v[n]] = Bits(sums[(((lane / 4) + (n / 2 * 8)) * TileColumns) + (lane % 4 * 2) + (n % 2)]);
        }
    }
}
