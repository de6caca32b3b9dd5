using LocalLlm.Evaluation.Recall;
using LocalLlm.Evaluation.Results;

namespace LocalLlm.Tests.Evaluation.Recall;

/// <summary>Which conversations the tables of recall compare methods by.</summary>
public sealed class RecallSectionTests
{
    [Fact]
    public void AskedAlike_SomeAskedMore_OthersComparedByWhatAllHave()
    {
        var (shared, more) = RecallSection.AskedAlike([.. Of("a", 0, 1, 2, 3), .. Of("b", 0, 1), .. Of("c", 0, 1, 2)]);

        shared.Select(r => (r.Key.Method, r.Key.Settings)).ShouldBe(
            [("a", "0"), ("b", "0"), ("c", "0"), ("a", "1"), ("b", "1"), ("c", "1")], ignoreOrder: true);
        more.Select(r => (r.Key.Method, r.Key.Settings)).ShouldBe(
            [("a", "0"), ("c", "0"), ("a", "1"), ("c", "1"), ("a", "2"), ("c", "2")], ignoreOrder: true);
    }

    [Fact]
    public void AskedAlike_OneAskedMore_IsComparedWithNone()
    {
        var (shared, more) = RecallSection.AskedAlike([.. Of("a", 0, 1), .. Of("b", 1)]);

        shared.Select(r => (r.Key.Method, r.Key.Settings)).ShouldBe([("a", "1"), ("b", "1")], ignoreOrder: true);
        more.ShouldBeEmpty();
    }

    private static IEnumerable<(ResultKey, RecallResult)> Of(string method, params int[] conversations) =>
        conversations.Select(c => (new ResultKey("recall", "demo", "", method, "", $"{c}"), new RecallResult([], 100, 2.5, 3)));
}
