namespace LocalLlm.Tests;

/// <summary>The model that ships with the sample; the build lays it beside every program that references the sample.</summary>
internal static class DemoModelFolder
{
    /// <summary>Its path; skips the calling test where it is absent.</summary>
    public static string Require()
    {
        var path = Path.Combine(AppContext.BaseDirectory, "model");
        if (!File.Exists(Path.Combine(path, "config.json")))
            Assert.Skip("needs the model that ships with the sample");
        return path;
    }
}
