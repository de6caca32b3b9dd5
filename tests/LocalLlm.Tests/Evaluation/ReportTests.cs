using LocalLlm.Evaluation;
using LocalLlm.Evaluation.Divergence;
using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Report;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Tests.Evaluation;

public sealed class ReportTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Table_FiguresAndWords_AreAlignedAndEscaped()
    {
        var table = new Table("Of two.");
        table.Add(("method", "a|b"), ("bits", 2.34567), ("95%", "1.0–2.0"), ("note", "– none"));
        table.Add(("method", "4-bit"), ("bits", 16.0), ("95%", null), ("note", "x"));
        var report = new ReportWriter(folder);

        report.Table(table);

        report.ToString().ShouldBe("""
            Of two.

            | method | bits | 95% | note |
            | --- | ---: | ---: | --- |
            | a\|b | 2.346 | 1.0–2.0 | – none |
            | 4-bit | 16 |  | x |

            """.ReplaceLineEndings("\n"));
    }

    [Fact]
    public void Save_Picture_WritesBothThemesAtTwiceTheSize()
    {
        var report = new ReportWriter(folder);
        report.Heading(1, "Page");
        report.Picture("some-lines", Lines(3), "Lines \"up\" & down.");
        report.Save("page.md");

        var page = File.ReadAllText(Path.Combine(folder, "page.md"));
        page.ShouldStartWith("# Page\n\n<picture>\n");
        page.ShouldContain("""<source media="(prefers-color-scheme: dark)" srcset="evaluation/some-lines-dark.png">""");
        page.ShouldContain("""<img src="evaluation/some-lines-light.png" width="760" alt="Lines &quot;up&quot; &amp; down.">""");
        foreach (var theme in new[] { "light", "dark" })
        {
            // A PNG's width and height are at bytes 16 and 20, the high byte first.
            var bytes = File.ReadAllBytes(Path.Combine(folder, "evaluation", $"some-lines-{theme}.png"));
            (((bytes[18] << 8) | bytes[19]), ((bytes[22] << 8) | bytes[23])).ShouldBe((1520, 880));
        }
    }

    [Fact]
    public void Save_EveryKindOfChart_IsDrawn()
    {
        var report = new ReportWriter(folder);
        report.Picture("bars", Bars(false, new BarValue(3, 2, 4), new BarValue(double.NaN)), "");
        report.Picture("lying", Bars(true, new BarValue(-1), new BarValue(0)), "");
        report.Picture("zero", Bars(false, new BarValue(0), new BarValue(0)), "");
        report.Picture("histogram", new HistogramChart
        {
            Title = "h",
            X = new("x", AxisScale.Log10),
            Y = new("y", AxisScale.Log10),
            Edges = [1, 10, 100],
            Distributions = [("a", [0.5, 0]), ("b", [0, 0])],
        }, "");
        report.Picture("nothing", Lines(0), "");
        report.Picture("unshowable", Lines(1) with { Y = new("y", AxisScale.Log10), Lines = [new("a", [new(1, 0, 0, 0), new(2, double.NaN)])] }, "");

        report.Save("page.md");

        Directory.GetFiles(Path.Combine(folder, "evaluation")).Length.ShouldBe(12);
    }

    [Fact]
    public void Save_ChartsThatCannotBeRead_AreRefused()
    {
        var tooMany = new ReportWriter(folder);
        tooMany.Picture("lines", Lines(13), "");
        Should.Throw<ArgumentException>(() => tooMany.Save("page.md"));
        File.Exists(Path.Combine(folder, "page.md")).ShouldBeFalse();
        var logarithmic = new ReportWriter(folder);
        logarithmic.Picture("bars", Bars(false, new BarValue(1), new BarValue(2)) with { Y = new("y", AxisScale.Log10) }, "");
        Should.Throw<ArgumentException>(() => logarithmic.Save("page.md"));
    }

    [Fact]
    public void Picture_NameTwice_IsDrawnOnceAndShownTwice_WrongIsRefused()
    {
        var report = new ReportWriter(folder);
        report.Picture("a", Lines(1), "");
        report.Picture("a", Lines(1), "");
        report.ToString().Split("a-light.png").Length.ShouldBe(3);
        Should.Throw<ArgumentException>(() => report.Picture("A b", Lines(1), ""));
        ReportWriter.PictureName("KL", "my_Model 2", "(v1)").ShouldBe("kl-my-model-2-v1");
    }

    [Fact]
    public void Logarithmic_Axes_HaveReadableMarks()
    {
        AxisTicks.Logarithmic(AxisScale.Log2, 900, 140_000).Select(t => t.Label).ShouldBe(["1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k"]);
        AxisTicks.Logarithmic(AxisScale.Log2, 1, 1 << 20).Count.ShouldBeLessThanOrEqualTo(9);
        AxisTicks.Logarithmic(AxisScale.Log10, 0.9e-5, 0.2).Select(t => t.Label).ShouldBe(["1e-5", "1e-4", "0.001", "0.01", "0.1"]);
        AxisTicks.Logarithmic(AxisScale.Log10, 0.09, 1.1).Select(t => t.Label).ShouldBe(["0.1", "0.2", "0.5", "1"]);
    }

    [Fact]
    public void Sections_EmptyStore_NameTheirCommands()
    {
        var store = new ResultStore(Path.Combine(folder, "none"));
        foreach (var section in ReportSections.All)
        {
            var report = new ReportWriter(folder);
            section.Write(report, store);
            report.ToString().ShouldStartWith("## ");
            report.ToString().ShouldContain(ReportWriter.Program);
        }
    }

    [Fact]
    public void EqualPeaks_OneMethodAtTwoWindows_StandSideBySideWithWhatWasReached()
    {
        var store = new ResultStore(folder);
        Add("ours", "W=64", ByteMatching.Average, 4, 4, 1);
        Add("ours", "W=64", ByteMatching.Peak, 4, 4, 1);
        Add("kivi", "W=320", ByteMatching.Average, 3, 5, 2);
        Add("kivi", "W=192", ByteMatching.Peak, 2, 3, 8);
        var (peaks, divergence) = (new ReportWriter(folder), new ReportWriter(folder));

        ReportSections.Choose(["peaks"]).Single().Write(peaks, store);
        ReportSections.Choose(["kl"]).Single().Write(divergence, store);

        peaks.ToString().ShouldContain("| KIVI | 320 | 0.75 | 2 | 192 | 2 | 3 | 0.75 | 8 |");
        divergence.ToString().ShouldContain("| KIVI | 320 | 3 | 5 | 2 |");
        divergence.ToString().ShouldNotContain("192");

        void Add(string method, string parameters, ByteMatching matching, double average, double peak, float kl) => store.Add(
            new ResultKey("kl", "m", "x", method, parameters, "v1 dialogue 1").Under(matching),
            new DivergenceResult(int.Parse(parameters[2..], System.Globalization.CultureInfo.InvariantCulture), average, peak, [kl, kl], [], []));
    }

    [Theory]
    [InlineData("b", "# page\n\n## a\n\nold a\n\n## b\n\nnew\n\n## d\n\nold d\n")]
    [InlineData("c", "# page\n\n## a\n\nold a\n\n## b\n\nold b\n\n### in b\n\n## c\n\nnew\n\n## d\n\nold d\n")]
    [InlineData("e", "# page\n\n## a\n\nold a\n\n## b\n\nold b\n\n### in b\n\n## d\n\nold d\n\n## e\n\nnew\n")]
    public void Replace_OneSection_LeavesTheOthers(string title, string expected)
    {
        const string Page = "# page\n\n## a\n\nold a\n\n## b\n\nold b\n\n### in b\n\n## d\n\nold d\n";

        PageSections.Replace(Page, title, $"## {title}\n\nnew\n", ["a", "b", "c", "d", "e"]).ShouldBe(expected);
    }

    [Fact]
    public void Choose_UnknownSection_NamesAll() =>
        Should.Throw<ArgumentException>(() => ReportSections.Choose(["kl", "x"])).Message.ShouldContain("no section 'x'. There are kl, memory");

    [Fact]
    public void Only_NoPageYet_SaysSo() =>
        Should.Throw<ArgumentException>(() => ReportEvaluation.Parse(new Arguments(["report", "--out", folder, "--only", "kl"])))
            .Message.ShouldContain("there is none");

    [Fact]
    public void Newest_ModelReplaced_LeavesItsOldResultsOut()
    {
        var store = new ResultStore(folder);
        store.Add(Key("m", "old", "a"), "1");
        store.Add(Key("other", "x", "a"), "2");
        store.Add(Key("m", "new", "a"), "3");
        store.Add(Key("m", "new", "b"), "4");

        store.Newest<string>("e").Select(r => r.Value).ShouldBe(["2", "3", "4"]);

        static ResultKey Key(string model, string fingerprint, string method) => new("e", model, fingerprint, method, "", "");
    }

    private static LineChart Lines(int count) => new()
    {
        Title = "t",
        X = new("x", AxisScale.Log2),
        Y = new("y"),
        Lines = [.. Enumerable.Range(0, count).Select(i => new LineSeries($"l{i}", [new(1024, i, i - 1, i + 1), new(2048, -i)]))],
    };

    private static BarChart Bars(bool isLying, BarValue first, BarValue second) => new()
    {
        Title = "t",
        X = new("x"),
        Y = new("y"),
        IsLying = isLying,
        Groups = ["g"],
        Series = [new("a", [first]), new("b", [second])],
    };
}
