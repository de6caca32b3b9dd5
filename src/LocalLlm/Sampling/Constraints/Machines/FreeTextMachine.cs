using System.Text;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// Free text up to its first stop, by the automaton of Aho and Corasick over the stops and the banned texts. A control token counts as its text.
/// A banned text that ends where a stop ends is refused.
/// </summary>
internal sealed class FreeTextMachine : ByteMachine
{
    private readonly FreeTextNode node;
    private readonly List<Dictionary<byte, int>> children = [[]];
    private readonly List<int> fallbacks = [0];
    private readonly List<bool> stops = [false];
    private readonly List<bool> banned = [false];

    public FreeTextMachine(FreeTextNode node, CacheMeter meter) : base(meter)
    {
        this.node = node;
        foreach (var text in node.StopTexts)
            stops[AddText(text)] = true;
        foreach (var text in node.BannedTexts)
            banned[AddText(text)] = true;
        Link();
    }

    /// <inheritdoc/>
    public override int Start => 0;

    /// <inheritdoc/>
    public override bool IsAccepting(int state) => stops[state] || node.MayEnd;

    /// <inheritdoc/>
    public override bool CanContinue(int state) => !stops[state];

    /// <summary>Tokens that end the text by their ids.</summary>
    public IReadOnlyList<int> StopIds => node.StopIds;

    /// <summary>Whether a control token ends the text.</summary>
    public bool IsStop(int tokenId) => node.StopIds.Contains(tokenId);

    /// <summary>The state after a control token that does not end the text by its id, or <see cref="ByteMachine.Dead"/>.</summary>
    public int StepControl(int state, int tokenId, ReadOnlySpan<byte> text)
    {
        if (node.BannedIds.Contains(tokenId))
            return Dead;
        foreach (var value in text)
        {
            // A stop within the token's text would leave a rest that no text spells.
            if (!CanContinue(state) || (state = Step(state, value)) == Dead)
                return Dead;
        }

        return state;
    }

    protected override int Compute(int state, byte value)
    {
        if (stops[state])
            return Dead;
        int next;
        while (!children[state].TryGetValue(value, out next) && state != 0)
            state = fallbacks[state];
        return banned[next] ? Dead : next;
    }

    private int AddText(string text)
    {
        var state = 0;
        foreach (var value in Encoding.UTF8.GetBytes(text))
        {
            if (!children[state].TryGetValue(value, out var next))
            {
                children[state].Add(value, next = children.Count);
                children.Add([]);
                fallbacks.Add(0);
                stops.Add(false);
                banned.Add(false);
            }

            state = next;
        }

        return state;
    }

    /// <summary>Sets, level by level, where each state falls back to: the longest proper ending of its text that begins another.</summary>
    private void Link()
    {
        var queue = new Queue<int>(children[0].Values);
        while (queue.TryDequeue(out var state))
        {
            foreach (var (value, child) in children[state])
            {
                var fallback = fallbacks[state];
                int target;
                while (!children[fallback].TryGetValue(value, out target) && fallback != 0)
                    fallback = fallbacks[fallback];
                fallbacks[child] = target;
                queue.Enqueue(child);
            }

            stops[state] |= stops[fallbacks[state]];
            banned[state] |= banned[fallbacks[state]];
        }
    }
}
