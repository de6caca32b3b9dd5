using LocalLlm.Evaluation.LongBench;

namespace LocalLlm.Tests.Evaluation;

public sealed class LongBenchTests : IDisposable
{
    private const string Sample = """{"input": "Who?", "context": "Ann.", "answers": ["Ann"], "length": 5000, "all_classes": null, "_id": "x"}""";

    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Fill_Fields_ComeInTheirPlaces() =>
        LongBenchConfig.Fill("{{x}} {context}\n{input}{input}", new Dictionary<string, string> { ["context"] = "C {input}", ["input"] = "I" })
            .ShouldBe("{x} C {input}\nII");

    [Theory]
    [InlineData("{contxt}", "{contxt}")]
    [InlineData("a { b", "'{'")]
    [InlineData("a } b", "'}'")]
    public void Fill_UnknownFieldOrLoneBrace_IsAnError(string template, string expected) => Should.Throw<ArgumentException>(() =>
        LongBenchConfig.Fill(template, new Dictionary<string, string> { ["context"] = "C" })).Message.ShouldContain(expected);

    [Fact]
    public void Read_Folder_GivesTasksWithPromptsAndLengths()
    {
        Write("qasper_e.jsonl", Sample);
        Write("trec.jsonl", Sample.Replace("null", "[\"Ann\", \"Bob\"]", StringComparison.Ordinal) + "\n" + Sample);

        var files = LongBenchFile.Read(folder, "data", Config(), null, 1);

        files.Select(f => f.Name).ShouldBe(["qasper_e", "trec"]);
        files[0].Task.Name.ShouldBe("qasper");
        files[0].Samples[0].Length.ShouldBe(5000);
        files[1].Samples.Count.ShouldBe(1);
        files[1].Samples[0].Classes.ShouldBe(["Ann", "Bob"]);
        files[1].Prompt(files[1].Samples[0]).ShouldBe("T Ann. Who?");
        files[1].MaxTokens.ShouldBe(8);
        // A classification's prompt is text to go on with, also for a chat model.
        files[0].Request("p", hasChat: true).Turns.ShouldHaveSingleItem().Content.ShouldBe("p");
        files[0].Request("p", hasChat: false).Prompt.ShouldBe("p");
        files[1].Request("p", hasChat: true).Prompt.ShouldBe("p");
    }

    [Theory]
    [InlineData("qasper.jsonl", "{\"input\": \"a\", \"answers\": [\"b\"]}", "line 1", "\"context\" is missing")]
    [InlineData("qasper.jsonl", "{\"input\": \"a\", \"context\": \"c\", \"answers\": []}", "line 1", "\"answers\" is empty")]
    [InlineData("qasper.jsonl", "{\"input\": \"a\", \"context\": \"c\", \"answers\": \"b\"}", "line 1", "must be a list of texts")]
    [InlineData("qasper.jsonl", "", "has no lines", "qasper.jsonl")]
    [InlineData("new_task.jsonl", "{}", "'new_task' is no LongBench task", "hotpotqa")]
    [InlineData("lcc.jsonl", Sample, "no entry \"lcc\"", "dataset2prompt.json")]
    [InlineData("dureader.jsonl", Sample, "no file TASK.jsonl", "--data")]
    public void Read_WrongFolder_SaysWhat(string file, string text, string expected, string and)
    {
        Write(file, text);

        var error = Should.Throw<ArgumentException>(() => LongBenchFile.Read(folder, "data", Config(), null, 10));

        error.Message.ShouldContain(expected);
        error.Message.ShouldContain(and);
    }

    [Fact]
    public void Read_ConfigMissingOrBroken_NamesTheFile()
    {
        Should.Throw<ArgumentException>(() => LongBenchConfig.Read(folder)).Message.ShouldContain("dataset2prompt.json");
        Write("dataset2prompt.json", "{\"qasper\": 3}");
        Should.Throw<ArgumentException>(() => LongBenchConfig.Read(folder)).Message.ShouldContain("dataset2prompt.json");
    }

    [Fact]
    public void Mean_SampleLeftOut_CountsNotAsWrong()
    {
        LongBenchResult[] results =
        [
            new("s", "qasper", 1, null, 0.5, 10, null), new("s", "qasper", 2, null, null, 99999, null), new("s", "trec", 1, null, 1, 10, null),
        ];

        LongBenchSection.Mean(results).ShouldBe(75);
    }

    private LongBenchConfig Config()
    {
        Write("dataset2prompt.json", """{"qasper": "Q {context} {input}", "trec": "T {context} {input}"}""");
        Write("dataset2maxlen.json", """{"qasper": 16, "trec": 8}""");
        return LongBenchConfig.Read(folder);
    }

    private void Write(string file, string text) => File.WriteAllText(Path.Combine(folder, file), text);
}
