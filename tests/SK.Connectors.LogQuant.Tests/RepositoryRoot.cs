namespace SK.Connectors.LogQuant.Tests;

/// <summary>The checkout that the tests were built from.</summary>
internal static class RepositoryRoot
{
    /// <summary>The path of a file or folder of the repository; skips the calling test where the sources are not there.</summary>
    public static string Require(params string[] path)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "LogQuant.sln")))
                return Path.Combine([folder.FullName, .. path]);
        }

        Assert.Skip("needs the repository's sources");
        return "";
    }
}
