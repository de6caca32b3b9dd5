using LocalLlm.Evaluation.Results;

namespace LocalLlm.Tests.Evaluation;

public sealed class ResultStoreTests : IDisposable
{
    private static readonly ResultKey Key = new("kl", "demo", "0123", "ours", "W=64", "v1 dialogue 1");

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("localllm-results-");

    private string FilePath => Path.Combine(folder.FullName, "kl.jsonl");

    [Fact]
    public void Find_StoredUnit_IsThereInAnotherStore()
    {
        new ResultStore(folder.FullName).Add(Key, new Value(1.5, [float.NaN, 2]));

        var found = new ResultStore(folder.FullName).Find<Value>(Key)!;

        found.X.ShouldBe(1.5);
        found.Numbers.ShouldBe([float.NaN, 2]);
        new ResultStore(folder.FullName).Find<Value>(Key with { Parameters = "W=32" }).ShouldBeNull();
    }

    [Fact]
    public void Add_AfterALineThatWasCutOff_RemovesIt()
    {
        new ResultStore(folder.FullName).Add(Key, new Value(1, []));
        File.AppendAllText(FilePath, File.ReadAllText(FilePath)[..40]);
        var store = new ResultStore(folder.FullName);

        store.All<Value>("kl").Count().ShouldBe(1);
        store.Add(Key with { Method = "kivi" }, new Value(2, []));

        new ResultStore(folder.FullName).All<Value>("kl").Select(r => (r.Key.Method, r.Value.X)).ShouldBe([("ours", 1), ("kivi", 2)]);
    }

    [Fact]
    public void Add_SameKey_CountsWithTheLastValue()
    {
        var store = new ResultStore(folder.FullName);
        store.Add(Key, new Value(1, []));
        store.Add(Key, new Value(2, []));

        new ResultStore(folder.FullName).All<Value>("kl").Single().Value.X.ShouldBe(2);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("nonsense")]
    public void All_BrokenLine_NamesItsNumber(string line)
    {
        new ResultStore(folder.FullName).Add(Key, new Value(1, []));
        File.AppendAllText(FilePath, line + "\n");

        Should.Throw<InvalidDataException>(() => new ResultStore(folder.FullName).All<Value>("kl")).Message.ShouldContain("line 2");
    }

    [Fact]
    public void All_NothingStored_IsEmptyAndMakesNoFile()
    {
        new ResultStore(folder.FullName).All<Value>("kl").ShouldBeEmpty();
        File.Exists(FilePath).ShouldBeFalse();
    }

    public void Dispose() => folder.Delete(recursive: true);

    private sealed record Value(double X, float[] Numbers);
}
