using System.Runtime.Intrinsics.X86;

namespace LocalLlm.Kernels.Cpu;

/// <summary>Tells the processor what will be read soon.</summary>
internal static unsafe class CacheLines
{
    private const int Bytes = 64;

    /// <summary>Asks for memory ahead of its use; nothing where the processor has no such instruction. Never faults, whatever the address.</summary>
    public static void Prefetch(byte* start, int bytes)
    {
        if (!Sse.IsSupported)
            return;
        for (var offset = 0; offset < bytes; offset += Bytes)
            Sse.Prefetch0(start + offset);
    }
}
