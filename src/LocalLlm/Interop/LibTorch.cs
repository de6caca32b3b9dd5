using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Runtime.Versioning;
using TorchSharp;

namespace LocalLlm.Interop;

/// <summary>
/// Finds and loads libtorch for TorchSharp before its first use: the application's own package, or a folder such as a PyTorch installation's
/// <c>torch/lib</c>. Where the system's libstdc++ is too old for TorchSharp's native library by one symbol version (Debian 12, Ubuntu 22.04,
/// RHEL 9), a private copy with that requirement marked weak is loaded in its place.
/// </summary>
public static class LibTorch
{
    /// <summary>The environment variable that names a libtorch folder where no option does.</summary>
    public const string FolderVariable = "LOCALLLM_LIBTORCH";

    /// <summary>The version TorchSharp was built for. Asking TorchSharp for it would make it search for libtorch by itself.</summary>
    private const string TorchVersion = "2.10";

    private const string BindingsName = "LibTorchSharp";
    private static readonly Lock LoadLock = new();
    private static readonly Dictionary<string, nint> Handles = [];
    private static string? loadedFolder;
    private static bool isLoaded;

    /// <summary>The folder from which libtorch was loaded; null before, or where TorchSharp's own search found it.</summary>
    public static string? Folder => loadedFolder;

    /// <summary>Threads that libtorch takes by itself: one for each core.</summary>
    internal static int DefaultThreads { get; private set; }

    /// <summary>The handle of TorchSharp's native library; libtorch must be loaded.</summary>
    internal static nint Bindings => Handles.TryGetValue(BindingsName, out var handle)
        ? handle
        : NativeLibrary.Load(BindingsName, typeof(torch).Assembly, null);

    /// <summary>Loads libtorch if it is not loaded yet. Safe to call often and from any thread.</summary>
    /// <param name="folder">A folder that holds libtorch's libraries; null takes <see cref="FolderVariable"/>, else the application's package.</param>
    /// <exception cref="LibTorchLoadException">Nothing worked; the message says what was tried, where, and the fix.</exception>
    public static void EnsureLoaded(string? folder = null)
    {
        lock (LoadLock)
        {
            var source = folder is { Length: > 0 } ? "the option LibTorchPath" : $"the environment variable {FolderVariable}";
            var requested = folder is { Length: > 0 } ? folder : Environment.GetEnvironmentVariable(FolderVariable);
            requested = string.IsNullOrEmpty(requested) ? null : Path.TrimEndingDirectorySeparator(Path.GetFullPath(requested));
            if (isLoaded)
            {
                // A process can hold one libtorch only; the variable is a default, so it never contradicts what is loaded.
                if (folder is { Length: > 0 } && loadedFolder != requested)
                    throw new LibTorchLoadException($"libtorch is already loaded from '{loadedFolder ?? "TorchSharp's own search"}'; a process holds one only. "
                        + $"LibTorchPath asks for '{requested}': give all engines the same folder, before the first use of TorchSharp.");
                return;
            }

            var trace = new List<string>();
            if (OperatingSystem.IsLinux())
                LoadOnLinux(requested, source, trace);
            else
                LoadElsewhere(requested, source, trace);
            isLoaded = true;
            DefaultThreads = torch.get_num_threads();
        }
    }

    [SupportedOSPlatform("linux")]
    private static void LoadOnLinux(string? requested, string source, List<string> trace)
    {
        var folder = requested ?? NativeFolders().FirstOrDefault(f => File.Exists(Path.Combine(f, "libtorch_cpu.so")));
        if (folder is null)
            throw Failure("no libtorch package was found beside the application", NativeFolders().Select(f => $"{f}: no libtorch_cpu.so"));
        if (!File.Exists(Path.Combine(folder, "libtorch_cpu.so")))
            throw Failure($"'{folder}', given by {source}, holds no libtorch_cpu.so", []);

        var bindings = NativeFolders().Append(folder).Select(f => Path.Combine(f, "libLibTorchSharp.so")).FirstOrDefault(File.Exists)
            ?? throw Failure("TorchSharp's native library libLibTorchSharp.so is missing", NativeFolders().Select(f => $"{f}: no libLibTorchSharp.so"));

        // Loaded by path first, these satisfy the bindings' needs by soname, wherever the bindings lie; a second libtorch would abort the process.
        foreach (var name in new[] { "c10", "c10_cuda", "torch_cpu", "torch_cuda", "torch" })
        {
            var path = Path.Combine(folder, $"lib{name}.so");
            if (File.Exists(path) && !TryLoad(name, path, trace) && name is "c10" or "torch_cpu" or "torch")
                throw Failure($"'{path}' does not load", trace);
        }

        if (!TryLoad(BindingsName, bindings, trace) && !TryLoadWeakened(bindings, trace))
            throw Failure($"TorchSharp's native library '{bindings}' does not load", trace);
        BindTorchSharp();
        loadedFolder = folder;
    }

    private static void LoadElsewhere(string? requested, string source, List<string> trace)
    {
        // Windows and macOS: TorchSharp's own search is enough for a package; a folder is loaded by path before it.
        if (requested is not null)
        {
            var (prefix, suffix) = OperatingSystem.IsWindows() ? ("", ".dll") : ("lib", ".dylib");
            foreach (var name in new[] { "c10", "torch_cpu", "torch_cuda", "torch" })
            {
                var path = Path.Combine(requested, prefix + name + suffix);
                if (File.Exists(path))
                    TryLoad(name, path, trace);
            }

            var bindings = NativeFolders().Select(f => Path.Combine(f, prefix + BindingsName + suffix)).FirstOrDefault(File.Exists);
            if (bindings is null || !TryLoad(BindingsName, bindings, trace))
                throw Failure($"libtorch in '{requested}', given by {source}, does not load", trace);
            BindTorchSharp();
            loadedFolder = requested;
            return;
        }

        try
        {
            torch.InitializeDeviceType(DeviceType.CPU);
        }
        catch (Exception e) when (e is NotSupportedException or TypeInitializationException or DllNotFoundException)
        {
            throw Failure("TorchSharp's own search found no libtorch", [e.Message]);
        }
    }

    [UnconditionalSuppressMessage("SingleFile", "IL3000", Justification = "Empty in a single file, where the application's folder is the only one.")]
    private static string? TorchSharpFolder() => Path.GetDirectoryName(typeof(torch).Assembly.Location);

    /// <summary>Folders in which the application's native packages may lie, in the host's own order first.</summary>
    internal static IEnumerable<string> NativeFolders()
    {
        var host = (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var rid = (OperatingSystem.IsWindows() ? "win-" : OperatingSystem.IsMacOS() ? "osx-" : "linux-")
            + (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "x64");
        var bases = new[] { AppContext.BaseDirectory, TorchSharpFolder() }.Where(b => !string.IsNullOrEmpty(b));
        return host.Concat(bases.SelectMany(b => new[] { Path.Combine(b!, "runtimes", rid, "native"), b! }))
            .Select(Path.TrimEndingDirectorySeparator).Distinct().Where(Directory.Exists);
    }

    private static bool TryLoad(string name, string path, List<string> trace)
    {
        try
        {
            Handles[name] = NativeLibrary.Load(path);
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            trace.Add($"{path}: {e.Message.ReplaceLineEndings(" ")}");
            return false;
        }
    }

    [SupportedOSPlatform("linux")]
    private static bool TryLoadWeakened(string bindings, List<string> trace)
    {
        try
        {
            if (WeakenedLibrary.Prepare(bindings, UserCache.Root()) is { } copy)
                return TryLoad(BindingsName, copy, trace);
            trace.Add($"{bindings}: does not need {WeakenedLibrary.WeakVersion}, so a private copy would not help");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            trace.Add($"private copy of {bindings}: {e.Message}");
        }

        return false;
    }

    /// <summary>Points TorchSharp at the libraries loaded here, and keeps its own search from loading a second libtorch.</summary>
    private static void BindTorchSharp()
    {
        var assembly = typeof(torch).Assembly;
        NativeLibrary.SetDllImportResolver(assembly, (name, _, _) => Handles.GetValueOrDefault(name));
        AssemblyLoadContext.GetLoadContext(assembly)!.ResolvingUnmanagedDll += (_, name) => Handles.GetValueOrDefault(name);
        // TorchSharp searches the package's folders by itself unless it holds its backend for loaded.
        foreach (var (field, library) in new[] { ("nativeBackendLoaded", "torch_cpu"), ("nativeBackendCudaLoaded", "torch_cuda") })
        {
            if (Handles.ContainsKey(library))
                typeof(torch).GetField(field, BindingFlags.Static | BindingFlags.NonPublic)?.SetValue(null, true);
        }
    }

    private static LibTorchLoadException Failure(string what, IEnumerable<string> trace) => new(
        $"libtorch could not be loaded: {what}.{string.Concat(trace.Select(t => "\n  - " + t))}\n"
        + "Fix: reference the package libtorch-cpu-linux-x64 (or the one of your system; TorchSharp-cuda-linux for an NVIDIA GPU) from the application, or set "
        + $"LlmEngineOptions.LibTorchPath or the environment variable {FolderVariable} to a folder that holds libtorch {TorchVersion}, "
        + "such as a PyTorch installation's torch/lib.");
}
