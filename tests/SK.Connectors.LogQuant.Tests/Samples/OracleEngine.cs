using System.Runtime.CompilerServices;
using DemoModel.Dialogues;
using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.Samples;

/// <summary>An engine that answers as the script expects, or as <see cref="Change"/> makes of it. A token is four characters here.</summary>
internal sealed class OracleEngine(IReadOnlyList<ScriptedTurn> script, int contextTokens = 100_000) : ILlmEngine
{
    /// <summary>What the engine does about a turn instead of what is expected.</summary>
    public Func<ScriptedTurn, ScriptedTurn> Change { get; init; } = turn => turn;

    public List<GenerationRequest> Requests { get; } = [];

    public LlmModelInfo Model => new()
    {
        ModelId = "oracle",
        Architecture = "Oracle",
        ContextTokens = contextTokens,
        Device = "cpu",
        KvBits = 2,
        KvBytesPerTokenFp16 = 1024,
        ParameterCount = 0,
    };

    public async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await Task.Yield();
        cancellationToken.ThrowIfCancellationRequested();
        Requests.Add(request);
        int promptTokens = request.Turns.Sum(t => t.Content.Length + t.ToolCalls.Sum(c => c.ArgumentsJson.Length)) / 4;
        if (promptTokens >= contextTokens)
            throw new ContextLengthException(promptTokens, contextTokens);

        ScriptedTurn turn = Change(script[request.Turns.Count(t => t.Role == ChatRole.User) - 1]);
        int round = request.Turns.Reverse().TakeWhile(t => t.Role != ChatRole.User).Count(t => t.ToolCalls.Count > 0);
        bool calls = round < turn.Rounds.Count;
        if (calls)
        {
            foreach (ScriptedCall call in turn.Rounds[round])
                yield return new ToolCallUpdate(new ToolCall($"call_{Guid.NewGuid():N}", call.Name, call.ArgumentsJson));
        }
        else
        {
            foreach (char[] piece in turn.Answer.Chunk(5))
                yield return new TextDelta(new string(piece));
        }

        yield return new GenerationCompleted(calls ? FinishReason.ToolCalls : FinishReason.Stop, new GenerationUsage
        {
            PromptTokens = promptTokens,
            CachedPromptTokens = promptTokens / 2,
            CompletionTokens = 11,
            KvBytes = promptTokens * 100,
            KvBytesFp16 = promptTokens * 1024,
            TimeToFirstToken = TimeSpan.FromMilliseconds(20),
            DecodeTime = TimeSpan.FromMilliseconds(100),
        });
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
