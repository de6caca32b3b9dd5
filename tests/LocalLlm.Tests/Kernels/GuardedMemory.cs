using System.Runtime.InteropServices;

namespace LocalLlm.Tests.Kernels;

/// <summary>
/// Memory between two pages that may not be touched, its end flush against the second: a read or write past it ends the process. Where the system has no mmap it is
/// ordinary memory.
/// </summary>
internal sealed unsafe partial class GuardedMemory : IDisposable
{
    private const int NoAccess = 0, ReadWrite = 3, PrivateAnonymous = 0x22;

    private readonly nint start;
    private readonly nuint size;

    public GuardedMemory(int bytes)
    {
        if (!OperatingSystem.IsLinux())
        {
            start = (nint)NativeMemory.AllocZeroed((nuint)bytes);
            Address = start;
            return;
        }

        var page = (nuint)Environment.SystemPageSize;
        var inner = ((nuint)bytes + page - 1) / page * page;
        size = inner + (2 * page);
        start = Map(0, size, ReadWrite, PrivateAnonymous, -1, 0);
        if (start == -1 || Protect(start, page, NoAccess) != 0 || Protect(start + (nint)(page + inner), page, NoAccess) != 0)
            throw new InvalidOperationException($"No guarded memory of {bytes} bytes: error {Marshal.GetLastPInvokeError()}.");
        Address = start + (nint)(page + inner - (nuint)bytes);
    }

    public nint Address { get; }

    public void Dispose()
    {
        if (size > 0)
            _ = Unmap(start, size);
        else
            NativeMemory.Free((void*)start);
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint length);
}
