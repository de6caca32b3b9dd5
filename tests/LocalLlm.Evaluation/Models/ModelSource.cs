using System.Security.Cryptography;
using System.Text;

namespace LocalLlm.Evaluation.Models;

/// <summary>A model to evaluate, not loaded.</summary>
/// <param name="Name">For tables: the folder's name, "demo" for the shipped model; with "-stress" for a stress variant.</param>
/// <param name="Folder">The model folder.</param>
/// <param name="IsStress">True for the variant with outlier channels (<see cref="StressModel"/>).</param>
internal sealed record ModelSource(string Name, string Folder, bool IsStress)
{
    private const string StressSuffix = ":stress";
    private const int HashedBytes = 4 << 20;

    /// <summary>The shipped demo model, which lies beside the program.</summary>
    public static string DemoFolder => Path.Combine(AppContext.BaseDirectory, "model");

    /// <summary>True for the shipped demo model, of whose tokenizer the dialogue generator knows the ids.</summary>
    public bool IsDemo => Path.GetFullPath(Folder) == Path.GetFullPath(DemoFolder);

    /// <summary>The models of the options.</summary>
    /// <param name="folders">--model; null for the demo model and its stress variant.</param>
    /// <param name="stories">--stories.</param>
    /// <exception cref="ArgumentException">A folder is missing.</exception>
    public static List<ModelSource> Choose(IReadOnlyList<string>? folders, string? stories)
    {
        List<ModelSource> sources = folders is null
            ? [new("demo", DemoFolder, false), new("demo-stress", DemoFolder, true)]
            : [.. folders.Select(Named)];
        if (stories is not null)
            sources.Add(Of(stories, false));
        foreach (var source in sources.Where(s => !File.Exists(Path.Combine(s.Folder, "config.json"))))
            throw new ArgumentException($"{source.Folder} is no model folder: it has no config.json.");
        if (sources.GroupBy(s => s.Name).FirstOrDefault(g => g.Count() > 1) is { } same)
        {
            var folderList = string.Join(", ", same.Select(s => s.Folder));
            throw new ArgumentException(
                $"--model, --stories: two models are called {same.Key} ({folderList}); folders need different names.");
        }

        return sources;

        static ModelSource Named(string folder) =>
            folder.EndsWith(StressSuffix, StringComparison.Ordinal) ? Of(folder[..^StressSuffix.Length], true) : Of(folder, false);

        static ModelSource Of(string folder, bool isStress)
        {
            if (folder is "demo")
                folder = DemoFolder;
            var name = folder == DemoFolder ? "demo" : Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
            return new ModelSource(isStress ? name + "-stress" : name, folder, isStress);
        }
    }

    /// <summary>A hash of the model's configuration, tokenizer and weights; of large files, their length, beginning and end.</summary>
    public string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var files = Directory.EnumerateFiles(Folder)
            .Where(f => Path.GetExtension(f) is ".json" or ".safetensors" or ".model" or ".jinja").Order(StringComparer.Ordinal);
        var buffer = new byte[HashedBytes];
        foreach (var path in files)
        {
            using var file = File.OpenRead(path);
            hash.AppendData(Encoding.UTF8.GetBytes($"{Path.GetFileName(path)}:{file.Length}\n"));
            hash.AppendData(buffer, 0, file.ReadAtLeast(buffer, HashedBytes, throwOnEndOfStream: false));
            file.Position = Math.Max(file.Position, file.Length - HashedBytes);
            hash.AppendData(buffer, 0, file.ReadAtLeast(buffer, HashedBytes, throwOnEndOfStream: false));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16] + (IsStress ? StressModel.FingerprintSuffix : "");
    }
}
