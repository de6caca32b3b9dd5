namespace LocalLlm.Tests;

/// <summary>Real models, tokenizers and templates that lie beside the repository where they were laid; a test that needs them skips elsewhere.</summary>
internal static class SharedData
{
    /// <summary>The path of a file or folder below shared/data; skips the calling test where it is absent.</summary>
    public static string Require(params string[] path)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var found = Path.Combine([folder.FullName, "shared", "data", .. path]);
            if (Path.Exists(found))
                return found;
        }

        Assert.Skip($"needs shared/data/{string.Join('/', path)} beside the repository");
        return "";
    }
}
