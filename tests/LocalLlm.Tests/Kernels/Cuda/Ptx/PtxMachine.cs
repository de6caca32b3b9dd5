using System.Runtime.InteropServices;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>
/// Runs a kernel's blocks one after the other on memory of this process. A thread runs until it comes to an instruction of its warp, which is
/// carried out once all threads of the warp that have not ended stand at it, or to a barrier of the block. What no instruction has written is all ones:
/// registers, shared and local memory. What a GPU faults at is an error, and so is a race in shared memory.
/// </summary>
internal sealed unsafe partial class PtxMachine : IDisposable
{
    private const int WarpThreads = 32;
    private const int Alignment = 256;

    // Where shared and local memory lie among generic addresses, which the process uses for nothing.
    private const ulong SharedWindow = 1UL << 60, LocalWindow = 1UL << 61, LeastGlobal = 1 << 16, WindowBytes = 1UL << 32;

    private readonly PtxModule module;
    private readonly PtxInstruction[] code;
    private readonly int threads;
    private readonly bool isDescending;
    private readonly int localBytes; // of a thread, aligned
    private readonly byte* shared;
    private readonly byte* local; // [threads][localBytes]
    private readonly ulong* registers; // [threads][module.Registers]
    private readonly PtxRaces races;
    private readonly int[] next; // instruction of each thread; -1 where it has ended
    private byte* parameter;

    private PtxMachine(PtxModule module, int threads, bool isDescending)
    {
        (this.module, code, this.threads, this.isDescending) = (module, module.Instructions, threads, isDescending);
        localBytes = (module.LocalBytes + Alignment - 1) / Alignment * Alignment;
        shared = Allocate(module.SharedBytes);
        local = Allocate(threads * localBytes);
        registers = (ulong*)Allocate(threads * module.Registers * sizeof(ulong));
        races = new PtxRaces(module.SharedBytes, threads / WarpThreads);
        next = new int[threads];
    }

    /// <summary>Runs a grid.</summary>
    /// <param name="module">The kernel.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="threads">Threads of a block, whole warps.</param>
    /// <param name="parameter">The bytes of its parameters.</param>
    /// <param name="isDescending">Whether the last warp and thread run first.</param>
    public static void Run(PtxModule module, (int X, int Y, int Z) grid, int threads, ReadOnlySpan<byte> parameter, bool isDescending = false)
    {
        if (threads > module.MaxThreads || threads % WarpThreads != 0)
            throw new ArgumentException($"{module.Entry} is for {module.MaxThreads} threads at most, whole warps; got {threads}.", nameof(threads));
        if (parameter.Length != module.ParamBytes)
            throw new ArgumentException($"{module.Entry} has {module.ParamBytes} bytes of parameters; got {parameter.Length}.", nameof(parameter));
        using var machine = new PtxMachine(module, threads, isDescending);
        fixed (byte* bytes = parameter)
        {
            machine.parameter = bytes;
            for (var block = 0; block < grid.X * grid.Y * grid.Z; block++)
                machine.RunBlock((block % grid.X, block / grid.X % grid.Y, block / grid.X / grid.Y), grid);
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(shared);
        NativeMemory.AlignedFree(local);
        NativeMemory.AlignedFree(registers);
    }

    private static byte* Allocate(int bytes) => (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), Alignment);

    private ulong* RegistersOf(int thread) => registers + ((long)thread * module.Registers);

    private void RunBlock((int X, int Y, int Z) block, (int X, int Y, int Z) grid)
    {
        new Span<byte>(shared, module.SharedBytes).Fill(0xFF);
        new Span<byte>(local, threads * localBytes).Fill(0xFF);
        for (var thread = 0; thread < threads; thread++)
        {
            var r = RegistersOf(thread);
            new Span<ulong>(r, module.Registers).Fill(ulong.MaxValue);
            int[] special = [thread, 0, 0, threads, 1, 1, block.X, block.Y, block.Z, grid.X, grid.Y, grid.Z, thread % WarpThreads];
            for (var i = 0; i < special.Length; i++)
                r[i] = (ulong)special[i];
            foreach (var (register, value) in module.Constants)
                r[register] = value;
        }

        Array.Clear(next);
        var warps = threads / WarpThreads;
        for (var isRunning = true; isRunning;)
        {
            isRunning = false;
            races.PassBlockBarrier();
            for (var i = 0; i < warps; i++)
                isRunning |= RunWarp((isDescending ? warps - 1 - i : i) * WarpThreads);
            // All that have not ended stand at a barrier.
            for (var thread = 0; thread < threads; thread++)
                next[thread] += next[thread] >= 0 ? 1 : 0;
        }
    }

    // Runs the warp of a thread to a barrier of the block, where it returns true, or to its end.
    private bool RunWarp(int first)
    {
        while (true)
        {
            var at = -1;
            for (var i = 0; i < WarpThreads; i++)
            {
                var thread = first + (isDescending ? WarpThreads - 1 - i : i);
                if (next[thread] < 0)
                    continue;
                next[thread] = RunThread(thread, next[thread]);
                if (next[thread] < 0)
                    continue;
                if (at >= 0 && at != next[thread])
                {
                    throw new InvalidOperationException(
                        $"{module.Entry}: threads of a warp wait at different instructions: {code[at].Text} and {code[next[thread]].Text}");
                }

                at = next[thread];
            }

            if (at < 0)
                return false;
            if (code[at].Op == PtxOp.BlockBarrier)
                return true;
            RunWarpInstruction(code[at], first);
            for (var thread = first; thread < first + WarpThreads; thread++)
                next[thread] += next[thread] >= 0 ? 1 : 0;
        }
    }

    // Where what lies at an address is in this process. Natural alignment, and bounds where they are known.
    private byte* Find(in PtxInstruction instruction, ulong address, int bytes, int thread)
    {
        var space = instruction.Space;
        if (space == PtxSpace.Generic)
        {
            (space, address) = address switch
            {
                >= SharedWindow and < SharedWindow + WindowBytes => (PtxSpace.Shared, address - SharedWindow),
                >= LocalWindow and < LocalWindow + WindowBytes => (PtxSpace.Local, address - LocalWindow),
                _ => (PtxSpace.Global, address),
            };
        }

        if (address % (ulong)bytes != 0)
            throw Fault(instruction, $"address 0x{address:X} is no multiple of {bytes}");
        return space switch
        {
            PtxSpace.Shared when address + (ulong)bytes <= (ulong)module.SharedBytes =>
                races.Note((int)address, bytes, thread, instruction.Op != PtxOp.Load) ? throw Fault(instruction, "races with another thread") : shared + address,
            PtxSpace.Local when address + (ulong)bytes <= (ulong)module.LocalBytes => local + ((long)thread * localBytes) + address,
            PtxSpace.Param when address + (ulong)bytes <= (ulong)module.ParamBytes => parameter + address,
            PtxSpace.Global when address is >= LeastGlobal and < SharedWindow => (byte*)address,
            _ => throw Fault(instruction, $"address 0x{address:X} lies outside of {space} memory"),
        };
    }

    private static ulong ToGeneric(PtxSpace space, ulong address) =>
        address + space switch { PtxSpace.Shared => SharedWindow, PtxSpace.Local => LocalWindow, _ => 0 };

    private InvalidOperationException Fault(in PtxInstruction instruction, string what) => new($"{module.Entry}: {instruction.Text} {what}");
}
