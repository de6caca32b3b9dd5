using CsCheck;

namespace LocalLlm.Tests;

public class MemoryFitTests
{
    private static readonly Func<int, long> TenEach = tokens => 10 * tokens;

    [Fact]
    public void MaxTokens_AllFits_IsWhatIsWantedOrTheContext()
    {
        MemoryFit.MaxTokens(TenEach, 1000, promptTokens: 50, contextLeft: 50, wanted: 20).ShouldBe(20);
        MemoryFit.MaxTokens(TenEach, 1000, 50, 50, null).ShouldBe(50);
        MemoryFit.MaxTokens(TenEach, 1000, 50, 30, 40).ShouldBe(30);
    }

    [Fact]
    public void MaxTokens_PromptNeverFits_SaysTheArithmetic() =>
        Should.Throw<LocalLlmException>(() => MemoryFit.MaxTokens(TenEach, 1000, 100, 50, 1)).Message.ShouldBe(
            $"The KV cache of this request needs {1010:N0} bytes for 100 tokens of prompt and one of output, and there are {1000:N0} for all conversations "
            + "(KvCache.MemoryBytes): it can never run. Shorten the prompt or raise KvCache.MemoryBytes.");

    [Fact]
    public void MaxTokens_WantedNeverFits_SaysTheArithmeticAndWhatFits() =>
        Should.Throw<LocalLlmException>(() => MemoryFit.MaxTokens(TenEach, 1000, 90, 50, 30)).Message.ShouldContain("Lower MaxTokens to 10 or raise");

    [Fact]
    public void MaxTokens_NothingWanted_IsTheMostThatFits() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 200], Gen.Int[1, 300], Gen.Int[1, 30]).Sample((prompt, left, memory, block) =>
        {
            long Bytes(int tokens) => (tokens + block - 1) / block * block;
            if (Bytes(prompt + 1) > memory)
                return;
            var most = MemoryFit.MaxTokens(Bytes, memory, prompt, left, null);
            Bytes(prompt + most).ShouldBeLessThanOrEqualTo(memory);
            (most == left || Bytes(prompt + most + 1) > memory).ShouldBeTrue();
        });
}
