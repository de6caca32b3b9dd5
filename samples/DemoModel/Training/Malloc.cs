using System.Runtime.InteropServices;

namespace DemoModel.Training;

/// <summary>The C library's allocator.</summary>
internal static class Malloc
{
    private const int TrimThreshold = -1, MmapThreshold = -3;

    /// <summary>
    /// Makes glibc keep large blocks that are freed. By default each activation tensor is mapped from the kernel and given back, and half of
    /// the training time goes into page faults.
    /// </summary>
    public static void KeepFreedMemory()
    {
        if (!OperatingSystem.IsLinux())
            return;
        try
        {
            _ = SetOption(MmapThreshold, 1 << 30);
            _ = SetOption(TrimThreshold, int.MaxValue);
        }
        catch (EntryPointNotFoundException)
        {
            // Another C library: it has no such option.
        }
    }

    [DllImport("libc", EntryPoint = "mallopt")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetOption(int option, int value);
}
