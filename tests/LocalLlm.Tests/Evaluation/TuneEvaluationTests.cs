using LocalLlm.Evaluation;
using LocalLlm.Evaluation.Tuning;
using LocalLlm.Loading;

namespace LocalLlm.Tests.Evaluation;

/// <summary>The command that chooses each layer's bits, on the shipped model.</summary>
public sealed class TuneEvaluationTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("tune-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Run_ShippedModel_WritesBitsThatTheFolderIsReadWith()
    {
        var model = Path.Combine(folder, "model");
        Directory.CreateDirectory(model);
        foreach (var file in Directory.EnumerateFiles(DemoModelFolder.Require()).Where(f => Path.GetFileName(f) != CacheBitsConfig.FileName))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));

        await RunAsync(model, Path.Combine(folder, "results"));

        using var opened = ModelFolder.Open(model);
        opened.Errors.ShouldBeEmpty();
        opened.CacheBits.ShouldNotBeNull().KeyBits.Count.ShouldBe(4);
    }

    [Theory]
    [InlineData("--write", "--model FOLDER")]
    [InlineData("--write --model demo,demo:stress", "demo:stress is a variant")]
    public void Parse_NoFolderToWriteTo_IsRefused(string options, string expected) =>
        Should.Throw<ArgumentException>(() => TuneEvaluation.Parse(new Arguments(["tune", .. options.Split(' ')]))).Message.ShouldContain(expected);

    private static async Task RunAsync(string model, string results)
    {
        var arguments = new Arguments(["tune", "--model", model, "--tokens", "420", "--seeds", "1", "--write", "--results", results, "--threads", "2"]);
        var evaluation = TuneEvaluation.Parse(arguments);
        using var run = new EvaluationRun(arguments);
        await run.ExecuteAsync([evaluation], TestContext.Current.CancellationToken);
    }
}
