using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LocalLlm.Tokenization;

namespace LocalLlm.Sessions;

/// <summary>A prompt's ids, and what is needed to know it again.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="Turns">Turns of the conversation that it renders.</param>
/// <param name="Bytes">Its length in the form in which prompts are compared.</param>
/// <param name="Hash">SHA-256 of that form.</param>
internal sealed record KnownPrompt(int[] Ids, int Turns, int Bytes, string Hash);

/// <summary>What a model answered.</summary>
/// <param name="Content">The text; empty if there was none.</param>
/// <param name="Reasoning">The reasoning; empty if there was none.</param>
/// <param name="ToolCalls">The calls, in order.</param>
internal sealed record WrittenMessage(string Content, string Reasoning, IReadOnlyList<ToolCall> ToolCalls);

/// <summary>
/// Remembers the tokens of the answers that were generated. A conversation comes back as messages, and the template and the tokenizer need not make of an
/// answer the tokens that the model wrote: calls are spelled anew, text may be split in other ways. Where a prompt goes on from an answer that is
/// remembered and was not changed, the answer's own tokens are put in, so that the conversation's cache continues. Where the template itself leaves
/// something out, as old reasoning, it has its way. Safe for concurrent use.
/// </summary>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="maxTokens">The most tokens to remember, prompts included; the least recently used answers are forgotten.</param>
internal sealed class WrittenMessages(TextTokenizer tokenizer, long maxTokens)
{
    private sealed record Entry(KnownPrompt Prompt, WrittenMessage Message, int[] Sampled)
    {
        public int Tokens => Prompt.Ids.Length + Sampled.Length;
    }

    private readonly Lock entriesLock = new();
    private readonly LinkedList<Entry> entries = []; // least recently used first
    private long tokens;

    /// <summary>Answers that are remembered.</summary>
    public int Count
    {
        get
        {
            lock (entriesLock)
                return entries.Count;
        }
    }

    /// <summary>Gives turns with tool calls the reasoning back that their sender left out, so that the template can decide about it.</summary>
    public IReadOnlyList<ChatTurn> WithReasoning(IReadOnlyList<ChatTurn> turns)
    {
        if (!turns.Any(LacksReasoning))
            return turns;
        var reasonings = new Dictionary<string, string>(StringComparer.Ordinal); // by call
        lock (entriesLock)
        {
            foreach (var message in entries.Select(e => e.Message).Where(m => m.Reasoning.Length > 0))
            {
                foreach (var call in message.ToolCalls)
                    reasonings[call.Id] = message.Reasoning;
            }
        }

        return [.. turns.Select(t => LacksReasoning(t) && reasonings.TryGetValue(t.ToolCalls[0].Id, out var reasoning) ? t with { Reasoning = reasoning } : t)];

        static bool LacksReasoning(ChatTurn turn) => turn is { Role: ChatRole.Assistant, Reasoning: null, ToolCalls.Count: > 0 };
    }

    /// <summary>Encodes a rendered conversation, answers that are remembered in the tokens in which they were written.</summary>
    /// <param name="segments">The prompt.</param>
    /// <param name="turns">The conversation that it renders.</param>
    public KnownPrompt Encode(IReadOnlyList<PromptSegment> segments, IReadOnlyList<ChatTurn> turns)
    {
        var pieces = tokenizer.Split(segments);
        var (bytes, starts) = Canonical(pieces);
        var (ids, first) = Known(pieces, bytes, starts, turns);
        for (var i = first; i < pieces.Count; i++)
            tokenizer.EncodeInto(pieces[i], ids);
        return new KnownPrompt([.. ids], turns.Count, bytes.Length, Convert.ToHexString(SHA256.HashData(bytes)));
    }

    /// <summary>Remembers an answer that came to its own end.</summary>
    /// <param name="prompt">What it answers.</param>
    /// <param name="sampled">Its tokens; the last is the control token that ended it.</param>
    /// <param name="message">What it said.</param>
    public void Remember(KnownPrompt prompt, IReadOnlyList<int> sampled, WrittenMessage message)
    {
        var entry = new Entry(prompt, message, [.. sampled]);
        lock (entriesLock)
        {
            // The same answer once is enough. Calls have ids of their own, by which each is known again.
            if (message.ToolCalls.Count == 0 && entries.FirstOrDefault(e => IsRepeated(e, entry)) is { } same)
            {
                entries.Remove(same);
                tokens -= same.Tokens;
            }

            entries.AddLast(entry);
            tokens += entry.Tokens;
            while (tokens > maxTokens)
            {
                tokens -= entries.First!.Value.Tokens;
                entries.RemoveFirst();
            }
        }
    }

    private static bool IsRepeated(Entry entry, Entry other) => entry.Message.ToolCalls.Count == 0
        && entry.Prompt.Hash == other.Prompt.Hash && entry.Prompt.Ids.AsSpan().SequenceEqual(other.Prompt.Ids)
        && entry.Sampled.AsSpan().SequenceEqual(other.Sampled);

    /// <summary>The ids up to and with the last answer that is remembered, and the first piece after it.</summary>
    private (List<int> Ids, int FirstPiece) Known(IReadOnlyList<AddedTokenMatcher.Piece> pieces, byte[] bytes, int[] starts, IReadOnlyList<ChatTurn> turns)
    {
        List<Entry> candidates;
        lock (entriesLock)
            candidates = [.. entries.Where(e => e.Prompt.Bytes < bytes.Length && e.Prompt.Turns < turns.Count && IsSame(e.Message, turns[e.Prompt.Turns]))];

        // The prompts, shortest first, so that one pass over the text tells of each whether it is the beginning.
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var hashed = 0;
        var (best, end) = ((Entry?)null, 0);
        foreach (var sameLength in candidates.GroupBy(e => e.Prompt.Bytes).OrderBy(g => g.Key))
        {
            hash.AppendData(bytes, hashed, sameLength.Key - hashed);
            hashed = sameLength.Key;
            var beginning = Convert.ToHexString(hash.GetCurrentHash());
            // Two answers to one prompt: the later one, unless only the other is what the conversation holds.
            foreach (var entry in sameLength.Where(e => e.Prompt.Hash == beginning))
            {
                if (EndOf(entry, pieces, starts) is { } piece)
                    (best, end) = (entry, piece + 1);
            }
        }

        if (best is null)
            return ([], 0);
        lock (entriesLock)
        {
            if (entries.Remove(best))
                entries.AddLast(best);
        }

        return ([.. best.Prompt.Ids, .. best.Sampled], end);
    }

    /// <summary>The piece that ends the answer as the prompt renders it; null if it does not render all of the answer, or in a form that is not understood.</summary>
    private static int? EndOf(Entry entry, IReadOnlyList<AddedTokenMatcher.Piece> pieces, int[] starts)
    {
        var first = Array.BinarySearch(starts, entry.Prompt.Bytes) is var found && found >= 0 ? found : ~found - 1;
        for (var i = first; i < pieces.Count; i++)
        {
            if (pieces[i].TokenId is not { } id || (starts[i] < entry.Prompt.Bytes))
                continue;
            if (id == entry.Sampled[^1])
                return ShowsReasoning(entry, pieces.Skip(first).Take(i - first)) ? i : null;
            if (!entry.Sampled.Contains(id))
                return null; // the next message's
        }

        return null;
    }

    private static bool ShowsReasoning(Entry entry, IEnumerable<AddedTokenMatcher.Piece> rendered) =>
        entry.Message.Reasoning.Trim() is var reasoning
        && (reasoning.Length == 0 || string.Concat(rendered.Select(p => p.Text.Text)).Contains(reasoning, StringComparison.Ordinal));

    private static bool IsSame(WrittenMessage message, ChatTurn turn) => turn.Role == ChatRole.Assistant
        && turn.Content.AsSpan().Trim().SequenceEqual(message.Content.AsSpan().Trim())
        && turn.ToolCalls.Count == message.ToolCalls.Count
        && turn.ToolCalls.Zip(message.ToolCalls).All(p => p.First.Id == p.Second.Id && p.First.Name == p.Second.Name && IsSameJson(p.First.ArgumentsJson, p.Second.ArgumentsJson));

    private static bool IsSameJson(string first, string second)
    {
        if (first == second)
            return true;
        try
        {
            using var a = JsonDocument.Parse(first);
            using var b = JsonDocument.Parse(second);
            return JsonElement.DeepEquals(a.RootElement, b.RootElement);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>
    /// The form in which prompts are compared: text in UTF-8, control tokens as a byte that UTF-8 does not have and the id. Who wrote a text does not
    /// matter beyond that.
    /// </summary>
    /// <returns>The bytes, and where each piece begins.</returns>
    private static (byte[] Bytes, int[] Starts) Canonical(IReadOnlyList<AddedTokenMatcher.Piece> pieces)
    {
        var starts = new int[pieces.Count];
        var length = 0;
        for (var i = 0; i < starts.Length; i++)
        {
            starts[i] = length;
            length += pieces[i].TokenId is null ? Encoding.UTF8.GetByteCount(pieces[i].Text.Text) : 1 + sizeof(int);
        }

        var bytes = new byte[length];
        for (var i = 0; i < starts.Length; i++)
        {
            var target = bytes.AsSpan(starts[i]);
            if (pieces[i].TokenId is { } id)
            {
                target[0] = 0xFF;
                BinaryPrimitives.WriteInt32LittleEndian(target[1..], id);
            }
            else
            {
                Encoding.UTF8.GetBytes(pieces[i].Text.Text, target);
            }
        }

        return (bytes, starts);
    }
}
