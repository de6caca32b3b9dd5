using DemoModel.Dialogues;
using DemoModel.Tokenizer;

namespace DemoModel.Training;

/// <summary>What the model writes at one place of a dialogue.</summary>
/// <param name="Turn">The scripted turn.</param>
/// <param name="IsCall">The tool calls rather than the answer.</param>
/// <param name="Start">Index of the first token that the model writes.</param>
/// <param name="End">Index after the last one, which ends the turn.</param>
internal sealed record ModelSpan(ScriptedTurn Turn, bool IsCall, int Start, int End)
{
    /// <summary>For a question: tokens from the fact's value, where it was last mentioned, to <see cref="Start"/>.</summary>
    public int DistanceTokens { get; init; }
}

/// <summary>A dialogue as token ids, exactly as the chat template and the tokenizer give them.</summary>
internal sealed class EncodedDialogue
{
    private readonly BytePairEncoder _encoder;

    public EncodedDialogue(BytePairEncoder encoder, DialogueGenerator generator)
    {
        _encoder = encoder;
        Add(ChatFormat.System(generator.SystemPrompt, generator.Tools));
    }

    public List<int> Ids { get; } = [];

    /// <summary>For each id: does the model write it.</summary>
    public List<bool> IsModel { get; } = [];

    public List<ModelSpan> Spans { get; } = [];

    public void Add(ScriptedTurn turn)
    {
        int from = Ids.Count;
        Add(ChatFormat.Turn(turn, Spans.Count));
        int rounds = turn.Rounds.Count;
        for (int i = from; i < Ids.Count; i++)
        {
            if (!IsModel[i] || IsModel[i - 1])
                continue;
            int end = IsModel.IndexOf(false, i);
            Spans.Add(new(turn, rounds-- > 0, i, end) { DistanceTokens = turn.Kind == TurnKind.Recall ? Distance(turn.Facts[0].Value, from, i) : 0 });
        }
    }

    private void Add(IEnumerable<DialoguePiece> pieces)
    {
        foreach (DialoguePiece piece in pieces)
        {
            IReadOnlyList<int> ids = _encoder.Encode(piece);
            Ids.AddRange(ids);
            IsModel.AddRange(Enumerable.Repeat(piece.IsModel, ids.Count));
        }
    }

    private int Distance(string value, int before, int start)
    {
        List<int> ids = _encoder.Encode(" " + value);
        for (int i = before - ids.Count; i >= 0; i--)
        {
            if (Ids.Slice(i, ids.Count).SequenceEqual(ids))
                return start - i;
        }

        throw new InvalidOperationException($"The value '{value}' is not in the dialogue.");
    }
}
