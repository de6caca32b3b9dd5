using CsCheck;
using LocalLlm.Sampling;

namespace LocalLlm.Tests.Sampling;

public class StopMatcherTests
{
    [Fact]
    public void Add_StopAcrossPieces_IsNeverReleased()
    {
        var matcher = new StopMatcher(["###END"]);

        (matcher.Add("done ##") + matcher.Add("#EN") + matcher.Add("D and more")).ShouldBe("done ");
        matcher.IsStopped.ShouldBeTrue();
        matcher.Flush().ShouldBe("");
    }

    [Fact]
    public void Add_BeginningOfAStopThatIsNone_IsReleasedWhole()
    {
        var matcher = new StopMatcher(["abc"]);

        (matcher.Add("xab") + matcher.Add("ab") + matcher.Flush()).ShouldBe("xabab");
        matcher.IsStopped.ShouldBeFalse();
    }

    [Fact]
    public void Add_TwoStops_TheEarlierOneCounts() => new StopMatcher(["later", "now"]).Add("go now not later").ShouldBe("go ");

    [Fact]
    public void Add_AnyChunking_EqualsTheWholeText()
    {
        Gen.Select(Gen.Char["ab"].Array[0, 40].Select(c => new string(c)), Gen.Char["ab"].Array[1, 5].Select(c => new string(c)), Gen.Int[1, 6])
            .Sample((text, stop, size) =>
            {
                var matcher = new StopMatcher([stop]);
                var released = string.Concat(text.Chunk(size).Select(c => matcher.Add(new string(c)))) + matcher.Flush();

                var at = text.IndexOf(stop, StringComparison.Ordinal);
                released.ShouldBe(at < 0 ? text : text[..at]);
                matcher.IsStopped.ShouldBe(at >= 0);
            });
    }
}
