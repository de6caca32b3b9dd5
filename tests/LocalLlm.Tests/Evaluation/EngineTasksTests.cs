using LocalLlm.Evaluation;
using LocalLlm.Evaluation.Gsm8k;
using LocalLlm.Evaluation.LongBench;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Tests.Evaluation;

/// <summary>gsm8k and longbench through the engine, with the model that ships: what they score does not matter here, only that it is stored.</summary>
public sealed class EngineTasksTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Gsm8k_RunTwice_AnswersOnce()
    {
        var data = Write("test.jsonl", """
            {"question": "One and one?", "answer": "#### 2"}
            {"question": "Two and two?", "answer": "#### 4"}
            """);
        string[] command = ["gsm8k", "--data", data, "--methods", "dense,ours", "--max-tokens", "4", "--concurrent", "2"];

        await Run(command);
        var results = new ResultStore(Results).All<Gsm8kResult>("gsm8k").ToList();
        var lines = File.ReadAllLines(Path.Combine(Results, "gsm8k.jsonl")).Length;
        await Run(command);

        results.Select(r => (r.Key.Method, r.Value.Problem)).Order().ShouldBe([("dense", 1), ("dense", 2), ("ours", 1), ("ours", 2)]);
        results.ShouldAllBe(r => r.Value.Answer.PromptTokens > 10 && r.Value.Answer.AnswerTokens >= 1 && r.Value.Answer.AnswerTokens <= 4);
        results.Where(r => r.Key.Method == "dense").ShouldAllBe(r => r.Value.Answer.AverageBits == 16);
        File.ReadAllLines(Path.Combine(Results, "gsm8k.jsonl")).Length.ShouldBe(lines);
    }

    [Fact]
    public async Task Gsm8k_PromptTooLong_IsRefusedBeforeTheModelLoads()
    {
        var data = Write("test.jsonl", """{"question": "One and one?", "answer": "#### 2"}""");

        var error = await Should.ThrowAsync<ArgumentException>(() => Run(["gsm8k", "--data", data, "--max-tokens", "9000"]));

        error.Message.ShouldContain("--max-tokens 9000");
    }

    [Fact]
    public async Task Gsm8k_ExampleIsAlsoAProblem_IsRefused()
    {
        var data = Write("test.jsonl", """{"question": "One and one?", "answer": "#### 2"}""");

        var error = await Should.ThrowAsync<ArgumentException>(() => Run(["gsm8k", "--data", data, "--shots", data, "--shot-count", "1"]));

        error.Message.ShouldContain("example 1");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task LongBench_SampleTooLong_IsLeftOutOrCut(bool cutsMiddle)
    {
        var longText = string.Join(' ', Enumerable.Range(0, 400).Select(i => $"word{i}"));
        Write("qasper.jsonl", $$"""
            {"input": "Who?", "context": "Ann has it.", "answers": ["Ann"]}
            {"input": "Who?", "context": "{{longText}}", "answers": ["Ann"]}
            """);
        Write("dataset2prompt.json", """{"qasper": "{context} {input}"}""");
        Write("dataset2maxlen.json", """{"qasper": 4}""");
        string[] command = ["longbench", "--data", folder, "--config", folder, "--methods", "ours", "--context", "300"];

        await Run(cutsMiddle ? [.. command, "--cut-middle"] : command);

        var results = new ResultStore(Results).All<LongBenchResult>("longbench").Select(r => r.Value).OrderBy(r => r.Sample).ToList();
        results.Count.ShouldBe(2);
        results[0].Answer!.PromptTokens.ShouldBe(results[0].PromptTokens);
        results[1].PromptTokens.ShouldBeGreaterThan(296);
        (results[1].Answer is not null).ShouldBe(cutsMiddle);
        (results[1].Score is not null).ShouldBe(cutsMiddle);
        if (cutsMiddle)
            results[1].Answer!.PromptTokens.ShouldBeInRange(280, 296);
    }

    [Theory]
    [InlineData("gsm8k", "--data")]
    [InlineData("longbench", "--data")]
    public void Parse_NoData_SaysWhichIsNeeded(string command, string expected) =>
        Should.Throw<ArgumentException>(() => Commands.Parse(new Arguments([command]))).Message.ShouldContain(expected);

    private string Results => Path.Combine(folder, "results");

    private async Task Run(string[] command)
    {
        var arguments = new Arguments([.. command, "--model", "demo", "--results", Results, "--threads", "1"]);
        var evaluations = Commands.Parse(arguments);
        using var run = new EvaluationRun(arguments);
        arguments.RequireNothingLeft();
        await run.ExecuteAsync(evaluations, TestContext.Current.CancellationToken);
    }

    private string Write(string file, string text)
    {
        var path = Path.Combine(folder, file);
        File.WriteAllText(path, text);
        return path;
    }
}
