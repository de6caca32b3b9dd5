namespace LocalLlm.Tests.Evaluation;

/// <summary>A file of a test's own, removed after it.</summary>
internal sealed class TextFile : IDisposable
{
    public TextFile(string text) => File.WriteAllText(Path, text);

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"{Guid.NewGuid():N}.txt");

    public void Dispose() => File.Delete(Path);
}
