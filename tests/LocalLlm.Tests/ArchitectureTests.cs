using System.Text.RegularExpressions;

namespace LocalLlm.Tests;

/// <summary>The engine's folders in layers: one may use only those of a lower rank, and the data records of the root.</summary>
public partial class ArchitectureTests
{
    private static readonly Dictionary<string, int> Ranks = new()
    {
        ["Interop"] = 0,
        ["Quantization"] = 0,
        ["Tokenization"] = 0,
        ["Loading"] = 1,
        ["Kernels"] = 1,
        ["Chat"] = 1,
        ["Sampling"] = 1,
        ["KvCache"] = 2,
        ["Batching"] = 3,
        ["Sessions"] = 3,
        ["Attention"] = 4,
        ["Models"] = 5,
        ["Scheduling"] = 6,
    };

    [Fact]
    public void Folders_UseOnlyLowerRanks()
    {
        var wrong = from source in Sources()
                    where source.Folder != ""
                    from used in NamespacePattern().Matches(source.Text).Select(m => m.Groups[1].Value).Distinct()
                    where used != source.Folder && Ranks.ContainsKey(used) && Ranks[used] >= Ranks[source.Folder]
                    select $"{source.Path} (rank {Ranks[source.Folder]}) uses {used} (rank {Ranks[used]})";
        wrong.ShouldBeEmpty();
    }

    [Fact]
    public void Folders_AreAllRanked() => Sources().Select(s => s.Folder).Where(f => f != "" && !Ranks.ContainsKey(f)).Distinct().ShouldBeEmpty();

    [Fact]
    public void Namespaces_AreTheFolders()
    {
        var wrong = from source in Sources()
                    let expected = string.Join('.', ((string[])["LocalLlm", .. Path.GetDirectoryName(source.Path)!.Split('/')]).Where(p => p != ""))
                    where !source.Text.Contains($"namespace {expected};", StringComparison.Ordinal)
                    select $"{source.Path}: expected namespace {expected}";
        wrong.ShouldBeEmpty();
    }

    [Fact]
    public void UnsafeCode_StaysInKernelsAndInterop() =>
        Sources().Where(s => s.Folder is not ("Kernels" or "Interop") && UnsafePattern().IsMatch(s.Text)).Select(s => s.Path).ShouldBeEmpty();

    private static List<(string Path, string Folder, string Text)> Sources()
    {
        var root = RepositoryRoot.Require("src", "LocalLlm");
        var sources = Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories)
            .Select(f => (Full: f, Path: Path.GetRelativePath(root, f).Replace('\\', '/')))
            .Where(f => !f.Path.StartsWith("obj/", StringComparison.Ordinal) && !f.Path.StartsWith("bin/", StringComparison.Ordinal))
            .Select(f => (f.Path, f.Path.Contains('/') ? f.Path[..f.Path.IndexOf('/')] : "", File.ReadAllText(f.Full))).ToList();
        sources.ShouldNotBeEmpty();
        return sources;
    }

    [GeneratedRegex(@"\bLocalLlm\.([A-Z]\w+)")]
    private static partial Regex NamespacePattern();

    [GeneratedRegex(@"^\s*[^/\s].*\bunsafe\b|^\s*unsafe\b|\bUnsafe\.|\bMarshal\.Read|\bMemoryMarshal\.CreateSpan", RegexOptions.Multiline)]
    private static partial Regex UnsafePattern();
}
