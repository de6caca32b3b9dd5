using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace LocalLlm.Interop;

/// <summary>NVIDIA's runtime compiler, which needs neither a toolkit nor a GPU. Safe for concurrent use.</summary>
internal sealed unsafe class NvRtc
{
    private static readonly ConcurrentDictionary<int, Lazy<NvRtc>> Found = new(); // by the newest version that will do

    private readonly string path;
    private readonly delegate* unmanaged<int, byte*> getErrorString;
    private readonly delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int> createProgram;
    private readonly delegate* unmanaged<nint*, int> destroyProgram;
    private readonly delegate* unmanaged<nint, int, byte**, int> compileProgram;
    private readonly delegate* unmanaged<nint, nuint*, int> getLogSize, getCubinSize, getPtxSize;
    private readonly delegate* unmanaged<nint, byte*, int> getLog, getCubin, getPtx;

    /// <summary>Looks the functions up.</summary>
    /// <param name="library">The loaded library.</param>
    /// <param name="path">Where it was found.</param>
    /// <exception cref="LocalLlmException">It is none, or of a version before CUDA 11.2.</exception>
    internal NvRtc(nint library, string path)
    {
        this.path = path;
        getErrorString = (delegate* unmanaged<int, byte*>)Export("nvrtcGetErrorString");
        createProgram = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)Export("nvrtcCreateProgram");
        destroyProgram = (delegate* unmanaged<nint*, int>)Export("nvrtcDestroyProgram");
        compileProgram = (delegate* unmanaged<nint, int, byte**, int>)Export("nvrtcCompileProgram");
        getLogSize = (delegate* unmanaged<nint, nuint*, int>)Export("nvrtcGetProgramLogSize");
        getLog = (delegate* unmanaged<nint, byte*, int>)Export("nvrtcGetProgramLog");
        getCubinSize = (delegate* unmanaged<nint, nuint*, int>)Export("nvrtcGetCUBINSize");
        getCubin = (delegate* unmanaged<nint, byte*, int>)Export("nvrtcGetCUBIN");
        getPtxSize = (delegate* unmanaged<nint, nuint*, int>)Export("nvrtcGetPTXSize");
        getPtx = (delegate* unmanaged<nint, byte*, int>)Export("nvrtcGetPTX");

        int major, minor, count;
        Check(((delegate* unmanaged<int*, int*, int>)Export("nvrtcVersion"))(&major, &minor), "nvrtcVersion");
        Version = (major, minor);
        Check(((delegate* unmanaged<int*, int>)Export("nvrtcGetNumSupportedArchs"))(&count), "nvrtcGetNumSupportedArchs");
        Architectures = new int[count];
        fixed (int* architectures = Architectures)
            Check(((delegate* unmanaged<int*, int>)Export("nvrtcGetSupportedArchs"))(architectures), "nvrtcGetSupportedArchs");

        nint Export(string name) => NativeLibrary.TryGetExport(library, name, out var function)
            ? function
            : throw new LocalLlmException($"'{path}' has no {name}: NVRTC of CUDA 11.2 or newer is needed.");
    }

    /// <summary>Its version, which is CUDA's.</summary>
    public (int Major, int Minor) Version { get; }

    /// <summary>The compute capabilities it compiles for, 10 · major + minor, ascending.</summary>
    public int[] Architectures { get; }

    /// <summary>The process's compiler, loaded at the first call; libtorch must be loaded.</summary>
    /// <param name="newestMajor">The driver's version before the point: it does not load code of a newer compiler.</param>
    /// <exception cref="LocalLlmException">There is none; the message says what was tried.</exception>
    public static NvRtc Find(int newestMajor = int.MaxValue) => Found.GetOrAdd(newestMajor, major => new Lazy<NvRtc>(() => Open(
        NvRtcSearch.Candidates(
            LibTorch.Folder is { } folder ? LibTorch.NativeFolders().Prepend(folder) : LibTorch.NativeFolders(),
            Environment.GetEnvironmentVariable("CUDA_PATH") ?? Environment.GetEnvironmentVariable("CUDA_HOME"), OperatingSystem.IsWindows()),
        major))).Value;

    /// <summary>Loads the first of some libraries that is one, and not too new.</summary>
    /// <param name="candidates">Paths, or names for the system to find.</param>
    /// <param name="newestMajor">The driver's version before the point.</param>
    /// <exception cref="LocalLlmException">None is; the message says what was tried.</exception>
    public static NvRtc Open(IEnumerable<string> candidates, int newestMajor = int.MaxValue)
    {
        var trace = new StringBuilder();
        foreach (var candidate in candidates)
        {
            try
            {
                if (NvRtcSearch.Builtins(candidate) is { } builtins)
                    _ = NativeLibrary.Load(builtins);
                var nvrtc = new NvRtc(NativeLibrary.Load(candidate), candidate);
                return nvrtc.Version.Major <= newestMajor
                    ? nvrtc
                    : throw new LocalLlmException($"it is of CUDA {nvrtc.Version.Major}, and the driver of CUDA {newestMajor} loads no newer code. "
                        + "Install a newer driver, or an NVRTC of the driver's version.");
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or LocalLlmException)
            {
                trace.Append($"\n  - {candidate}: {e.Message.ReplaceLineEndings(" ")}");
            }
        }

        throw new LocalLlmException("The CUDA kernels cannot be compiled: NVIDIA's runtime compiler NVRTC was not found. Tried:" + trace
            + "\nFix: install it beside libtorch (the package TorchSharp-cuda-linux and PyTorch for CUDA bring it), or "
            + "set CUDA_PATH to a CUDA toolkit of version 12 or newer. AttentionBackend = Torch works without it.");
    }

    /// <summary>Compiles a source.</summary>
    /// <param name="name">Its name in messages.</param>
    /// <param name="source">Its text.</param>
    /// <param name="headers">What it may include, by name.</param>
    /// <param name="options">The compiler's options; with --gpu-architecture=sm_… the result is a cubin, with compute_… it is PTX.</param>
    /// <returns>The code; PTX ends with a zero byte.</returns>
    /// <exception cref="LocalLlmException">It does not compile; the message holds the compiler's log.</exception>
    public byte[] Compile(string name, string source, IReadOnlyDictionary<string, string> headers, IReadOnlyList<string> options)
    {
        using var memory = new Utf8Strings();
        nint program;
        Check(
            createProgram(&program, memory.Add(source), memory.Add(name), headers.Count, memory.Add(headers.Values), memory.Add(headers.Keys)),
            "nvrtcCreateProgram");
        try
        {
            if (compileProgram(program, options.Count, memory.Add(options)) is var result and not 0)
            {
                throw new LocalLlmException($"The CUDA kernel {name} does not compile ({Describe(result)}; NVRTC {Version.Major}.{Version.Minor} of "
                    + $"'{path}'; {string.Join(' ', options)}). AttentionBackend = Torch works without it. The compiler says:\n{Log(program)}");
            }

            var isCubin = options.Any(o => o.StartsWith("--gpu-architecture=sm_", StringComparison.Ordinal));
            nuint size;
            Check(isCubin ? getCubinSize(program, &size) : getPtxSize(program, &size), "the size of the compiled code");
            var code = new byte[size];
            fixed (byte* bytes = code)
                Check(isCubin ? getCubin(program, bytes) : getPtx(program, bytes), "the compiled code");
            return code;
        }
        finally
        {
            _ = destroyProgram(&program);
        }
    }

    private string Log(nint program)
    {
        nuint size;
        if (getLogSize(program, &size) != 0 || size == 0)
            return "(no log)";
        var log = new byte[size];
        fixed (byte* bytes = log)
            return getLog(program, bytes) == 0 ? Encoding.UTF8.GetString(log).TrimEnd('\0', '\n') : "(no log)";
    }

    private string Describe(int result) => Marshal.PtrToStringUTF8((nint)getErrorString(result)) ?? $"error {result}";

    private void Check(int result, string what)
    {
        if (result != 0)
            throw new LocalLlmException($"NVRTC of '{path}': {what} failed ({Describe(result)}). AttentionBackend = Torch works without it.");
    }

    /// <summary>Texts in native memory as long as a call needs them.</summary>
    private sealed class Utf8Strings : IDisposable
    {
        private readonly List<nint> owned = [];

        public byte* Add(string text)
        {
            owned.Add(Marshal.StringToCoTaskMemUTF8(text));
            return (byte*)owned[^1];
        }

        public byte** Add(IEnumerable<string> texts)
        {
            byte*[] pointers = new byte*[texts.Count()];
            var i = 0;
            foreach (var text in texts)
                pointers[i++] = Add(text);
            var array = (byte**)Marshal.AllocCoTaskMem(Math.Max(1, pointers.Length) * sizeof(byte*));
            owned.Add((nint)array);
            for (i = 0; i < pointers.Length; i++)
                array[i] = pointers[i];
            return array;
        }

        public void Dispose() => owned.ForEach(Marshal.FreeCoTaskMem);
    }
}
