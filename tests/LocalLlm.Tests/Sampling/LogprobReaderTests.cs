using CsCheck;
using LocalLlm.Sampling;

namespace LocalLlm.Tests.Sampling;

public sealed class LogprobReaderTests
{
    private static readonly Gen<float[]> Logits = Gen.Float[-30, 30].Array[1, 200];

    [Fact]
    public void Of_AnyLogits_EqualsTheLogSoftmaxInDoublePrecision() =>
        Logits.SelectMany(logits => Gen.Select(Gen.Const(logits), Gen.Int[0, logits.Length - 1], Gen.Int[0, LogprobReader.MaxTop])).Sample((logits, id, top) =>
        {
            var reader = new LogprobReader(top);

            reader.Observe(logits);
            var result = reader.Of(id);

            var expected = LogSoftmax(logits);
            result.Id.ShouldBe(id);
            result.Logprob.ShouldBe(expected[id], 1e-9);
            var best = Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).Take(top).ToArray(); // a stable order
            result.Top.Select(t => t.Id).ShouldBe(best);
            foreach (var (candidate, logprob) in result.Top)
                logprob.ShouldBe(expected[candidate], 1e-9);
        });

    [Fact]
    public void Of_AllTokens_SumToOne() => Gen.Float[-30, 30].Array[1, LogprobReader.MaxTop].Sample(logits =>
    {
        var reader = new LogprobReader(LogprobReader.MaxTop);

        reader.Observe(logits);

        reader.Of(0).Top.Sum(t => Math.Exp(t.Logprob)).ShouldBe(1, 1e-9);
    });

    [Fact]
    public void Of_LogitsChangedMeanwhile_TellsThoseObserved()
    {
        float[] logits = [1, 2, 3];
        var reader = new LogprobReader(1);

        reader.Observe(logits);
        logits.AsSpan().Fill(float.NegativeInfinity);

        reader.Of(1).Logprob.ShouldBe(LogSoftmax([1, 2, 3])[1], 1e-9);
    }

    [Fact]
    public void Of_TokenThatTheModelExcludes_IsNegativeInfinityAndNoNeighbourSuffers()
    {
        var reader = new LogprobReader(3);

        reader.Observe([0, float.NegativeInfinity, 0]);

        reader.Of(1).Logprob.ShouldBe(double.NegativeInfinity);
        reader.Of(0).Top.Select(t => t.Id).ShouldBe([0, 2, 1]);
        reader.Of(0).Logprob.ShouldBe(-Math.Log(2), 1e-9);
    }

    // Straight from the definition; the range of the tests needs no shift by the maximum.
    private static double[] LogSoftmax(float[] logits)
    {
        var sum = logits.Sum(l => Math.Exp(l));
        return [.. logits.Select(l => l - Math.Log(sum))];
    }
}
