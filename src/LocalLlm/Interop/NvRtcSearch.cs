namespace LocalLlm.Interop;

/// <summary>Where NVIDIA's runtime compiler may lie.</summary>
internal static class NvRtcSearch
{
    // The newest first.
    private static readonly string[] LinuxNames = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"];
    private static readonly string[] WindowsNames = ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"];

    /// <summary>What to load, in this order: beside libtorch, where PyTorch's packages put it, a toolkit, what the system finds by name.</summary>
    /// <param name="torchFolders">Folders of libtorch: the one in use first.</param>
    /// <param name="toolkit">A CUDA toolkit's folder; null where none is named.</param>
    /// <param name="isWindows">Which system's names.</param>
    public static IEnumerable<string> Candidates(IEnumerable<string> torchFolders, string? toolkit, bool isWindows)
    {
        var folders = torchFolders.SelectMany(f => WheelFolders(f, isWindows).Prepend(f)).Concat(ToolkitFolders(toolkit, isWindows));
        return folders.SelectMany(f => Files(f, isWindows)).Concat(isWindows ? WindowsNames : LinuxNames).Distinct();
    }

    /// <summary>The library that NVRTC loads by its bare name and that lies beside it: loaded first, it is found in any folder.</summary>
    public static string? Builtins(string library)
    {
        var (folder, name) = (Path.GetDirectoryName(library), OperatingSystem.IsWindows() ? "nvrtc-builtins*.dll" : "libnvrtc-builtins*.so*");
        return string.IsNullOrEmpty(folder)
            ? null
            : Directory.EnumerateFiles(folder, name).Order(StringComparer.Ordinal).FirstOrDefault(f => !IsAlternative(f));
    }

    // libnvrtc.so.12, and libnvrtc-672ee683.so.12 as libtorch's own packages name it.
    private static IEnumerable<string> Files(string folder, bool isWindows) => !Directory.Exists(folder)
        ? []
        : Directory.EnumerateFiles(folder, isWindows ? "nvrtc64_*.dll" : "libnvrtc*.so*")
            .Where(f => !IsAlternative(f) && !Path.GetFileName(f).Contains("builtins", StringComparison.Ordinal))
            .OrderDescending(StringComparer.Ordinal);

    // A second build with other limits on the stack; not the one that everyone uses.
    private static bool IsAlternative(string file) => Path.GetFileName(file).Contains(".alt.", StringComparison.Ordinal);

    // site-packages/torch/lib -> site-packages/nvidia/cu13/lib, site-packages/nvidia/cuda_nvrtc/lib
    private static IEnumerable<string> WheelFolders(string torchFolder, bool isWindows)
    {
        var packages = Path.Combine(Path.GetFullPath(Path.Combine(torchFolder, "..", "..")), "nvidia");
        if (!Directory.Exists(packages))
            return [];
        var inside = isWindows ? new[] { "bin", Path.Combine("bin", "x86_64") } : ["lib"];
        return Directory.EnumerateDirectories(packages, "cu*").Where(IsCompiler).OrderDescending(StringComparer.Ordinal)
            .SelectMany(p => inside.Select(i => Path.Combine(p, i)));

        static bool IsCompiler(string package) => Path.GetFileName(package) is "cuda_nvrtc" or ['c', 'u', >= '0' and <= '9', ..];
    }

    private static IEnumerable<string> ToolkitFolders(string? toolkit, bool isWindows)
    {
        if (!string.IsNullOrEmpty(toolkit))
            return [Path.Combine(toolkit, isWindows ? "bin" : "lib64"), Path.Combine(toolkit, isWindows ? Path.Combine("bin", "x64") : "lib")];
        return isWindows ? [] : ["/usr/local/cuda/lib64"];
    }
}
