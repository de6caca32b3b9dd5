using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using LocalLlm.Interop;

namespace LocalLlm.Kernels.Cuda;

/// <summary>Compiles the kernels whose sources are embedded in the assembly.</summary>
internal sealed class KernelCompiler(NvRtc compiler, KernelTarget target)
{
    private const string Prefix = "cuda/";

    private static readonly Lazy<SortedDictionary<string, string>> Embedded = new(ReadSources);

    /// <summary>All sources by file name.</summary>
    public static IReadOnlyDictionary<string, string> Sources => Embedded.Value;

    /// <summary>The compiler's options for a kernel.</summary>
    public static string[] Options(CudaKernel kernel, KernelTarget target)
    {
        List<string> options = [$"--gpu-architecture={target.Option}", "--std=c++17"];
        // Pages are the CPU's, bit for bit. Attention is compared with a tolerance, and says itself where it wants fused multiply-adds.
        if (kernel.Name == "quantise_page")
            options.Add("--fmad=false");
        if (kernel.Rows > 0)
            options.Add(string.Create(CultureInfo.InvariantCulture, $"-DROWS={kernel.Rows}"));
        if (kernel.Channels > 0)
            options.Add(string.Create(CultureInfo.InvariantCulture, $"-DCHANNELS={kernel.Channels}"));
        return [.. options];
    }

    /// <summary>
    /// Names the compiled kernel: another for every kernel, specialisation, architecture, version of the compiler, option and character of a source.
    /// </summary>
    public static string Key(CudaKernel kernel, KernelTarget target, (int Major, int Minor) version, IReadOnlyDictionary<string, string> sources)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        IEnumerable<string> parts = [kernel.ToString(), $"{version.Major}.{version.Minor}", .. Options(kernel, target)];
        foreach (var part in parts.Concat(sources.OrderBy(s => s.Key, StringComparer.Ordinal).SelectMany(s => new[] { s.Key, s.Value })))
        {
            var bytes = Encoding.UTF8.GetBytes(part);
            hash.AppendData(BitConverter.GetBytes(bytes.Length)); // where one part ends and the next begins
            hash.AppendData(bytes);
        }

        return $"{kernel.Name}-{target.Option}-{Convert.ToHexStringLower(hash.GetHashAndReset())[..32]}";
    }

    /// <summary>Names the compiled kernel.</summary>
    public string Key(CudaKernel kernel) => Key(kernel, target, compiler.Version, Sources);

    /// <summary>Compiles a kernel.</summary>
    /// <returns>A cubin, or PTX.</returns>
    /// <exception cref="LocalLlmException">It does not compile; the message holds the compiler's log.</exception>
    public byte[] Compile(CudaKernel kernel)
    {
        var file = kernel.Name + ".cu";
        if (!Sources.TryGetValue(file, out var source))
            throw new ArgumentException($"There is no kernel {kernel.Name}.", nameof(kernel));
        var headers = Sources.Where(s => s.Key.EndsWith(".cuh", StringComparison.Ordinal)).ToDictionary();
        return compiler.Compile(file, source, headers, Options(kernel, target));
    }

    private static SortedDictionary<string, string> ReadSources()
    {
        var assembly = typeof(KernelCompiler).Assembly;
        var sources = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in assembly.GetManifestResourceNames().Where(n => n.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
            sources.Add(name[Prefix.Length..], reader.ReadToEnd());
        }

        return sources;
    }
}
