using System.Runtime.InteropServices;

namespace LocalLlm.Tests.Kernels.Cpu;

/// <summary>
/// Memory that ends where a page begins that may not be touched: one byte read or written too far ends the process. Elsewhere than on Linux plain
/// memory.
/// </summary>
internal sealed unsafe partial class GuardedMemory : ITestMemory
{
    private const int Page = 4096;
    private readonly byte* start;
    private readonly nuint mapped;

    /// <summary>
    /// Maps <paramref name="bytes"/> bytes between two untouchable pages, its end at the second one; or, with <paramref name="atStart"/>, its begin at
    /// the first.
    /// </summary>
    public GuardedMemory(int bytes, bool atStart = false)
    {
        Bytes = bytes;
        if (!OperatingSystem.IsLinux())
        {
            start = (byte*)NativeMemory.AlignedAlloc((nuint)bytes + 64, 64);
            Pointer = start;
            return;
        }

        var inside = (bytes + Page - 1) / Page * Page;
        mapped = (nuint)(inside + 2 * Page);
        start = MMap(null, mapped, 1 | 2, 2 | 0x20, -1, 0); // readable and writable; private and anonymous
        if ((nint)start == -1 || Protect(start, Page, 0) != 0 || Protect(start + Page + inside, Page, 0) != 0)
            throw new InvalidOperationException($"No guarded memory of {bytes} bytes: error {Marshal.GetLastPInvokeError()}.");
        Pointer = start + Page + (atStart ? 0 : inside - bytes);
    }

    /// <summary>The first byte.</summary>
    public byte* Pointer { get; }

    /// <summary>The address of the first byte.</summary>
    public nint Address => (nint)Pointer;

    /// <summary>How many bytes may be used.</summary>
    public int Bytes { get; }

    /// <summary>All of it.</summary>
    public Span<byte> Span => new(Pointer, Bytes);

    public void Dispose()
    {
        if (mapped == 0)
            NativeMemory.AlignedFree(start);
        else
            _ = Unmap(start, mapped);
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* MMap(void* address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* address, nuint length);
}
