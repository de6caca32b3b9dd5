using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Tests.Evaluation;

public sealed class ByteMatchingTests : IDisposable
{
    private static readonly ResultKey Key = new("kl", "m", "0", "kivi", "W=64", "v1 dialogue 1");
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(false, 3.1, 3.0, 1)] // 3.0 is nearest to 3.1
    [InlineData(false, 9.0, 3.0, 3)]
    [InlineData(true, 3.1, 5.9, 1)] // 6 would be nearer, but is too much
    [InlineData(true, 3.1, 5.0, 1)] // as much is allowed; of equal peaks the higher average
    [InlineData(true, 3.1, 6.0, 2)]
    [InlineData(true, 3.1, 1.0, 0)] // all are too much: the least
    public void Nearest_OfCandidates_IsTheOneThatTheMatchingMeans(bool isByPeak, double average, double peak, int expected)
    {
        var matching = isByPeak ? ByteMatching.Peak : ByteMatching.Average;
        BitsPerElement[] candidates = [new(2, 4, 0), new(3, 5, 0), new(4, 6, 0), new(5, 7, 0), new(2.5, 5, 0)];

        var chosen = matching.Nearest(Enumerable.Range(0, candidates.Length), i => candidates[i], new(average, peak, 0));

        chosen.ShouldBe(expected);
    }

    [Fact]
    public void Nearest_NoCandidate_Throws() =>
        Should.Throw<ArgumentException>(() => ByteMatching.Peak.Nearest(Array.Empty<int>(), _ => default, default));

    [Fact]
    public void Under_Peak_IsAnotherKeyAndAverageTheSame()
    {
        Key.Under(ByteMatching.Average).ShouldBe(Key);
        Key.Under(ByteMatching.Peak).ShouldNotBe(Key);
        Key.Under(ByteMatching.Peak).Matching().ShouldBe(ByteMatching.Peak);
        Key.Matching().ShouldBe(ByteMatching.Average);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Find_WindowOfTheOtherMatching_IsTakenOver(bool isMeasuredByPeak)
    {
        var (measured, asked) = isMeasuredByPeak ? (ByteMatching.Peak, ByteMatching.Average) : (ByteMatching.Average, ByteMatching.Peak);
        var store = new ResultStore(folder);
        store.Find<string>(Key, asked).ShouldBeNull();
        store.Add(Key.Under(measured), "x");

        store.Find<string>(Key, asked).ShouldBe("x");
        store.Find<string>(Key with { Parameters = "W=128" }, asked).ShouldBeNull();
        new ResultStore(folder).All<string>("kl").Select(r => r.Key.Matching()).ShouldBe([measured, asked]);
    }
}
