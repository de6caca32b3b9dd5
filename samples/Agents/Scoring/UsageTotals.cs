using Agents.Conversation;

namespace Agents.Scoring;

/// <summary>What a conversation has used so far.</summary>
internal sealed class UsageTotals
{
    private readonly List<double> _firstTokenMilliseconds = [];
    private long _decodedTokens;
    private TimeSpan _decodeTime;

    /// <summary>Tokens of all prompts; every round sends the whole conversation.</summary>
    public long PromptTokens { get; private set; }

    /// <summary>How many of them were in a retained cache.</summary>
    public long CachedPromptTokens { get; private set; }

    public long CompletionTokens { get; private set; }

    /// <summary>Tokens of the conversation now.</summary>
    public int ContextTokens { get; private set; }

    /// <summary>Bytes that the conversation's KV cache holds now.</summary>
    public long KvBytes { get; private set; }

    /// <summary>Bytes that the same tokens would hold in fp16.</summary>
    public long KvBytesFp16 { get; private set; }

    /// <summary>The last round.</summary>
    public RoundUsage? Last { get; private set; }

    /// <summary>How many times smaller the cache is than one in fp16; 0 before the first round.</summary>
    public double KvRatio => KvBytes > 0 ? (double)KvBytesFp16 / KvBytes : 0;

    /// <summary>Tokens per second after the first of each round; 0 if none was.</summary>
    public double DecodeTokensPerSecond => _decodeTime > TimeSpan.Zero ? _decodedTokens / _decodeTime.TotalSeconds : 0;

    /// <summary>The middle one of the times to the first token of all rounds.</summary>
    public double MedianFirstTokenMilliseconds
    {
        get
        {
            if (_firstTokenMilliseconds.Count == 0)
                return 0;
            List<double> sorted = [.. _firstTokenMilliseconds.Order()];
            return (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
        }
    }

    /// <summary>A new conversation begins: it holds nothing yet. What was used before still counts.</summary>
    public void Restart() => (ContextTokens, KvBytes, KvBytesFp16, Last) = (0, 0, 0, null);

    public void Add(RoundUsage round)
    {
        PromptTokens += round.PromptTokens;
        CachedPromptTokens += round.CachedPromptTokens;
        CompletionTokens += round.CompletionTokens;
        if (round.DecodeTime > TimeSpan.Zero)
        {
            _decodedTokens += round.CompletionTokens - 1;
            _decodeTime += round.DecodeTime;
        }

        _firstTokenMilliseconds.Add(round.TimeToFirstToken.TotalMilliseconds);
        ContextTokens = round.ContextTokens;
        KvBytes = round.KvBytes;
        KvBytesFp16 = round.KvBytesFp16;
        Last = round;
    }
}
