using System.Text;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>
/// Any bytes up to and with the first of some texts, others banned: Aho and Corasick's automaton (Communications of the ACM 18, 1975).
/// </summary>
internal sealed class FreeTextMachine : ByteMachine
{
    private readonly List<Dictionary<byte, int>> children = [];
    private readonly List<int> fallback = [];
    private readonly List<Ending> endings = [];
    private readonly bool mayEnd;
    private int ended = -1;

    private enum Ending
    {
        None,
        Stop,
        Banned,
    }

    public FreeTextMachine(FreeTextNode node)
    {
        mayEnd = node.MayEnd;
        AddNode();
        foreach (var text in node.BannedTexts)
            AddText(text, Ending.Banned);
        foreach (var text in node.StopTexts)
            AddText(text, Ending.Stop);
        SetFallbacks();
    }

    /// <summary>The state after a control token that ended the text.</summary>
    public int Ended => ended >= 0 ? ended : ended = AddState(isAccepting: true);

    /// <summary>True once the text has come to its stop.</summary>
    public bool IsEnded(int state) => state == ended;

    protected override int Next(int state, byte next)
    {
        if (state == ended)
            return Dead;
        var node = state;
        while (node > 0 && !children[node].ContainsKey(next))
            node = fallback[node];
        node = children[node].GetValueOrDefault(next);
        return endings[node] switch
        {
            Ending.Stop => Ended,
            Ending.Banned => Dead,
            _ => node,
        };
    }

    // The states of the machine are the automaton's nodes, in the same order.
    private int AddNode()
    {
        children.Add([]);
        fallback.Add(0);
        endings.Add(Ending.None);
        return AddState(mayEnd);
    }

    private void AddText(string text, Ending ending)
    {
        var node = 0;
        foreach (var next in Encoding.UTF8.GetBytes(text))
        {
            if (!children[node].TryGetValue(next, out var child))
                children[node][next] = child = AddNode();
            node = child;
        }

        endings[node] = ending;
    }

    private void SetFallbacks()
    {
        var queue = new Queue<int>(children[0].Values);
        while (queue.TryDequeue(out var node))
        {
            foreach (var (next, child) in children[node])
            {
                var shorter = fallback[node];
                while (shorter > 0 && !children[shorter].ContainsKey(next))
                    shorter = fallback[shorter];
                fallback[child] = children[shorter].GetValueOrDefault(next);
                // Where both end at one place, the stop counts.
                if (endings[child] == Ending.None || endings[fallback[child]] == Ending.Stop)
                    endings[child] = endings[fallback[child]];
                queue.Enqueue(child);
            }
        }
    }
}
