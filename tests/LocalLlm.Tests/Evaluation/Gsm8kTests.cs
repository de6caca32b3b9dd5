using LocalLlm.Evaluation.Gsm8k;

namespace LocalLlm.Tests.Evaluation;

public class Gsm8kTests
{
    [Theory]
    [InlineData("She makes 9 * 2 = 18.\n#### 18", "18")]
    [InlineData("#### 70,000 or so #### 5", "70,000")]
    [InlineData("#### -3.5\n", "-3.5")]
    [InlineData("####18", AnswerExtraction.None)] // the form has a space
    [InlineData("The answer is 18.", AnswerExtraction.None)]
    [InlineData("", AnswerExtraction.None)]
    public void Strict_Hashes_TakesTheFirst(string text, string expected) =>
        AnswerExtraction.Strict(text, AnswerForm.Hashes).ShouldBe(expected);

    [Theory]
    [InlineData("9 * 2 = 18. The answer is 18.", "18.")]
    [InlineData("The answer is 1,234", "1,234")]
    [InlineData("The answer is $5.", AnswerExtraction.None)]
    public void Strict_TheAnswerIs_TakesTheFirst(string text, string expected) =>
        AnswerExtraction.Strict(text, AnswerForm.TheAnswerIs).ShouldBe(expected);

    [Theory]
    [InlineData("3 apples and 12 pears make 15", "15")]
    [InlineData("It costs $1,200.50 in all.", "$1,200.50")]
    [InlineData("so -7", "-7")]
    [InlineData("seven", AnswerExtraction.None)]
    public void Flexible_TakesTheLastNumber(string text, string expected) => AnswerExtraction.Flexible(text).ShouldBe(expected);

    [Theory]
    [InlineData("70,000", "70000", true)]
    [InlineData("$18", "18", true)]
    [InlineData("18.", "18", true)]
    [InlineData("18.0", "18", false)] // compared as texts, as the harness does
    [InlineData("#### 18", "18", true)]
    [InlineData(AnswerExtraction.None, "18", false)]
    public void IsRight_CommasDollarsAndStop_DoNotCount(string found, string gold, bool expected) =>
        AnswerExtraction.IsRight(found, gold).ShouldBe(expected);

    [Fact]
    public void Gold_LastMark_IsTaken()
    {
        AnswerExtraction.Gold("a #### 1\nb #### 2 ").ShouldBe("2");
        AnswerExtraction.Gold("no mark").ShouldBeNull();
        AnswerExtraction.Gold("ends with ####").ShouldBeNull();
    }

    [Fact]
    public void WithExamples_DataSetsForm_AsksInItsWords()
    {
        var prompt = Gsm8kPrompt.WithExamples([new("One and one? ", "It is two.\n#### 2")]);

        var request = prompt.Request(" Two and two?", 9);

        request.Prompt.ShouldBe("Question: One and one?\nAnswer: It is two.\n#### 2\n\nQuestion: Two and two?\nAnswer:");
        request.StopSequences.ShouldBe(["Question:"]);
        request.MaxTokens.ShouldBe(9);
        prompt.Form.ShouldBe(AnswerForm.Hashes);
    }

    [Fact]
    public void WithExamples_ChainOfThought_AsksInItsWords()
    {
        var prompt = Gsm8kPrompt.WithExamples([new("One and one?", "1 + 1 = 2. The answer is 2.")]);

        prompt.Request("Two and two?", 9).Prompt.ShouldBe("Q: One and one?\nA: 1 + 1 = 2. The answer is 2.\n\nQ: Two and two?\nA:");
        prompt.Form.ShouldBe(AnswerForm.TheAnswerIs);
    }

    [Fact]
    public void WithExamples_MixedForms_AreRefused() => Should.Throw<ArgumentException>(() =>
        Gsm8kPrompt.WithExamples([new("a", "#### 1"), new("b", "The answer is 2.")])).Message.ShouldContain("--shots");

    [Fact]
    public void Read_TestFile_GivesQuestionsAndNumbers()
    {
        using var file = new TextFile("""
            {"question": "One and one?", "answer": "Two.\n#### 2", "more": 1}

            {"question": "Ten thousand?", "answer": "#### 10,000"}
            """);

        var problems = Gsm8kProblem.Read(file.Path, "data");

        problems.Select(p => p.Gold).ShouldBe(["2", "10,000"]);
        problems[0].Question.ShouldBe("One and one?");
    }

    [Theory]
    [InlineData("{\"question\": \"a\", \"answer\": \"#### 1\"}\n{oops}", "line 2")]
    [InlineData("{\"question\": \"a\"", "should be closed")]
    [InlineData("[1]", "line 1")]
    [InlineData("{\"question\": \"a\"}", "\"answer\" is missing")]
    [InlineData("{\"question\": 3, \"answer\": \"#### 1\"}", "\"question\" must be a text, got Number")]
    [InlineData("{\"question\": \"a\", \"answer\": \"none\"}", "no number")]
    [InlineData("\n \n", "no lines")]
    public void Read_WrongFile_SaysWhatAndWhere(string text, string expected)
    {
        using var file = new TextFile(text);

        var error = Should.Throw<ArgumentException>(() => Gsm8kProblem.Read(file.Path, "data"));

        error.Message.ShouldContain(expected);
        error.Message.ShouldContain(file.Path);
        error.Message.ShouldContain("--data");
        error.Message.ShouldNotContain("LineNumber");
    }

    [Fact]
    public void Read_NoFile_NamesIt() =>
        Should.Throw<ArgumentException>(() => Gsm8kProblem.Read("/nowhere/test.jsonl", "data")).Message.ShouldContain("/nowhere/test.jsonl");
}
