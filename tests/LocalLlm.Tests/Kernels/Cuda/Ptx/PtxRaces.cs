namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>
/// Finds races in a block's shared memory: two threads at one byte, one of them writing, and no barrier between them. Within a warp its own barriers count
/// too. Shuffles, votes and mma wait for the warp's threads but order no memory: after them a thread may overwrite what others have read before, and may
/// not read what others have written.
/// </summary>
/// <param name="bytes">Bytes of the memory.</param>
/// <param name="warps">Warps of the block.</param>
internal sealed class PtxRaces(int bytes, int warps)
{
    private const int WarpThreads = 32;

    private readonly Accesses reads = new(bytes, warps), writes = new(bytes, warps);
    private readonly int[] readEpochs = new int[warps], writeEpochs = new int[warps]; // of the warps
    private int blockEpoch;

    /// <summary>A warp has passed an instruction that all its threads come to.</summary>
    public void PassWarpInstruction(int warp) => readEpochs[warp]++;

    /// <summary>A warp has passed a barrier of its own.</summary>
    public void PassWarpBarrier(int warp)
    {
        readEpochs[warp]++;
        writeEpochs[warp]++;
    }

    /// <summary>All warps have passed a barrier, or begin.</summary>
    public void PassBlockBarrier()
    {
        blockEpoch++;
        for (var warp = 0; warp < warps; warp++)
            PassWarpBarrier(warp);
    }

    /// <summary>Notes that a thread reads or writes some bytes.</summary>
    /// <returns>Whether that is a race.</returns>
    public bool Note(int address, int count, int thread, bool isWrite)
    {
        var (warp, lane) = (thread / WarpThreads, 1u << (thread % WarpThreads));
        var isRace = false;
        for (var at = address; at < address + count; at++)
        {
            isRace |= writes.HasOthers(at, blockEpoch, warp, writeEpochs[warp], lane) || (isWrite && reads.HasOthers(at, blockEpoch, warp, readEpochs[warp], lane));
            if (isWrite)
                writes.Add(at, blockEpoch, warp, writeEpochs[warp], lane);
            else
                reads.Add(at, blockEpoch, warp, readEpochs[warp], lane);
        }

        return isRace;
    }

    /// <summary>Who read, or wrote, each byte since the last barriers.</summary>
    private sealed class Accesses(int bytes, int warps)
    {
        private readonly (int Epoch, uint Warps)[] ofBlock = new (int, uint)[bytes];
        private readonly (int Epoch, uint Lanes)[] ofWarps = new (int, uint)[bytes * warps]; // [bytes][warps]

        public bool HasOthers(int at, int blockEpoch, int warp, int warpEpoch, uint lane)
        {
            var (ofAll, own) = (ofBlock[at], ofWarps[(at * warps) + warp]);
            return (ofAll.Epoch == blockEpoch && (ofAll.Warps & ~(1u << warp)) != 0) || (own.Epoch == warpEpoch && (own.Lanes & ~lane) != 0);
        }

        public void Add(int at, int blockEpoch, int warp, int warpEpoch, uint lane)
        {
            ref var ofAll = ref ofBlock[at];
            ofAll = (blockEpoch, (ofAll.Epoch == blockEpoch ? ofAll.Warps : 0) | (1u << warp));
            ref var own = ref ofWarps[(at * warps) + warp];
            own = (warpEpoch, (own.Epoch == warpEpoch ? own.Lanes : 0) | lane);
        }
    }
}
