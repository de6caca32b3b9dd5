using System.Numerics;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints;

/// <summary>Makes the states of one generation: what can follow what in a grammar.</summary>
internal sealed class GrammarRun
{
    private const int MostDepth = 1000;
    private const int MostFrames = 50_000;

    private readonly CompiledGrammar grammar;
    private readonly Dictionary<(FrameKind Kind, GrammarNode? Node, int Index, int Count, BigInteger Seen, Frame? Next), Frame> frames = [];
    private readonly List<Configuration> list = [];
    private readonly HashSet<Configuration> set = [];
    private int depth;

    public GrammarRun(CompiledGrammar grammar)
    {
        this.grammar = grammar;
        Start = Closed(() => Enter(grammar.Root, Push(FrameKind.End, null, null)))!;
    }

    /// <summary>The state at the beginning.</summary>
    public GrammarState Start { get; }

    /// <summary>The state after a byte; null if it cannot come.</summary>
    public GrammarState? Step(GrammarState state, byte value) => Closed(() =>
    {
        foreach (var (terminal, at, next) in state.Configurations)
        {
            if (terminal?.Machine is { } machine && machine.Step(at, value) is var target && target != ByteMachine.Dead)
                Add(terminal, target, next);
        }
    });

    /// <summary>The state after a control token; null if it cannot come.</summary>
    public GrammarState? StepControl(GrammarState state, int id) => Closed(() =>
    {
        foreach (var (terminal, at, next) in state.Configurations)
        {
            if (terminal is null)
                continue;
            if (terminal.TokenId == id)
                Leave(next);
            else if (terminal.Machine is FreeTextMachine text && !text.IsEnded(at) && terminal.ControlIds.Contains(id))
                Add(terminal, terminal.StopIds.Contains(id) ? text.Ended : ByteMachine.Start, next);
        }
    });

    /// <summary>The state when what comes before a frame has ended.</summary>
    public GrammarState After(Frame frame) => frame.After ??= Closed(() => Leave(frame)) ?? new GrammarState([]);

    private GrammarState? Closed(Action fill)
    {
        list.Clear();
        set.Clear();
        depth = 0;
        fill();
        return list.Count == 0 ? null : new GrammarState([.. list]);
    }

    private void Add(Terminal? terminal, int state, Frame next)
    {
        var configuration = new Configuration(terminal, state, next);
        if (!set.Add(configuration))
            return;
        list.Add(configuration);
        if (terminal?.IsAccepting(state) == true)
            Leave(next);
    }

    /// <summary>A node begins.</summary>
    private void Enter(GrammarNode node, Frame next)
    {
        if (++depth > MostDepth)
            throw new InvalidOperationException("The grammar begins with itself, or nests a thousand nodes before its first character.");
        switch (node)
        {
            case ReferenceNode reference:
                Enter(reference.Target ?? throw new InvalidOperationException("A reference of the grammar has no target."), next);
                break;
            case SequenceNode sequence:
                EnterItem(sequence, 0, next);
                break;
            case ChoiceNode choice:
                foreach (var item in choice.Items)
                    Enter(item, next);
                break;
            case RepeatNode repeat:
                if (repeat.Min == 0)
                    Leave(next);
                if (repeat.Max is null or > 0)
                    Enter(repeat.Item, Push(FrameKind.Repeat, repeat, next, count: Clamped(1, repeat.Min, repeat.Max)));
                break;
            case JsonObjectNode:
                Enter(CompiledGrammar.OpenBrace, Push(FrameKind.ObjectOpen, node, next));
                break;
            case JsonArrayNode:
                Enter(CompiledGrammar.OpenBracket, Push(FrameKind.ArrayOpen, node, next));
                break;
            default:
                Add(grammar.TerminalOf(node), ByteMachine.Start, next);
                break;
        }

        depth--;
    }

    /// <summary>What comes before a frame has ended.</summary>
    private void Leave(Frame frame)
    {
        if (++depth > MostDepth)
            throw new InvalidOperationException("The grammar repeats nothing for ever, or ends a thousand nodes at once.");
        var next = frame.Next!;
        switch (frame.Kind)
        {
            case FrameKind.End:
                Add(null, 0, frame);
                break;
            case FrameKind.Sequence:
                EnterItem((SequenceNode)frame.Node!, frame.Index, next);
                break;
            case FrameKind.Repeat:
                var repeat = (RepeatNode)frame.Node!;
                if (frame.Count >= repeat.Min)
                    Leave(next);
                if (repeat.Max is not { } max || frame.Count < max)
                    Enter(repeat.Separator, With(frame, FrameKind.RepeatSeparated));
                break;
            case FrameKind.RepeatSeparated:
                var repeated = (RepeatNode)frame.Node!;
                Enter(repeated.Item, Push(FrameKind.Repeat, repeated, next, count: Clamped(frame.Count + 1, repeated.Min, repeated.Max)));
                break;
            case FrameKind.ObjectOpen or FrameKind.ObjectFirst or FrameKind.ObjectName or FrameKind.ObjectColon or FrameKind.ObjectValue
                or FrameKind.ObjectProperty or FrameKind.ObjectNext:
                LeaveInObject(frame, (JsonObjectNode)frame.Node!, next);
                break;
            default:
                LeaveInArray(frame, (JsonArrayNode)frame.Node!, next);
                break;
        }

        depth--;
    }

    private void EnterItem(SequenceNode sequence, int index, Frame next)
    {
        if (index == sequence.Items.Count)
            Leave(next);
        else
            Enter(sequence.Items[index], index + 1 == sequence.Items.Count ? next : Push(FrameKind.Sequence, sequence, next, index + 1));
    }

    private void LeaveInObject(Frame frame, JsonObjectNode node, Frame next)
    {
        switch (frame.Kind)
        {
            case FrameKind.ObjectOpen:
                Enter(GrammarNode.JsonSpace, With(frame, FrameKind.ObjectFirst));
                break;
            case FrameKind.ObjectFirst:
                CloseObject(frame, node, next);
                EnterNames(frame, node);
                break;
            case FrameKind.ObjectName:
                EnterNames(frame, node);
                break;
            case FrameKind.ObjectColon:
                Enter(CompiledGrammar.Colon, With(frame, FrameKind.ObjectValue, frame.Index));
                break;
            case FrameKind.ObjectValue:
                var isNamed = frame.Index < node.Properties.Count;
                var value = isNamed ? node.Properties[frame.Index].Value : node.Classes[frame.Index - node.Properties.Count].Value;
                var seen = isNamed ? frame.Seen | (BigInteger.One << frame.Index) : frame.Seen;
                Enter(value, Push(FrameKind.ObjectProperty, node, next, 0, Clamped(frame.Count + 1, node.Min, node.Max), seen));
                break;
            case FrameKind.ObjectProperty:
                if (grammar.Names(node, frame.Seen, frame.Count).Length > 0)
                    Enter(CompiledGrammar.Comma, With(frame, FrameKind.ObjectName));
                if (CanClose(frame, node))
                    Enter(GrammarNode.JsonSpace, With(frame, FrameKind.ObjectNext));
                break;
            default:
                CloseObject(frame, node, next);
                break;
        }
    }

    private void CloseObject(Frame frame, JsonObjectNode node, Frame next)
    {
        if (CanClose(frame, node))
            Enter(CompiledGrammar.CloseBrace, next);
    }

    private bool CanClose(Frame frame, JsonObjectNode node) =>
        frame.Count >= node.Min && (frame.Seen & grammar.Required(node)) == grammar.Required(node);

    private void EnterNames(Frame frame, JsonObjectNode node)
    {
        foreach (var (index, name) in grammar.Names(node, frame.Seen, frame.Count))
            Enter(name, With(frame, FrameKind.ObjectColon, index));
    }

    private void LeaveInArray(Frame frame, JsonArrayNode node, Frame next)
    {
        switch (frame.Kind)
        {
            case FrameKind.ArrayOpen:
                Enter(GrammarNode.JsonSpace, With(frame, FrameKind.ArrayFirst));
                break;
            case FrameKind.ArrayFirst:
                if (node.Min == 0)
                    Enter(CompiledGrammar.CloseBracket, next);
                EnterArrayItem(frame, node, next);
                break;
            case FrameKind.ArrayItem:
                EnterArrayItem(frame, node, next);
                break;
            case FrameKind.ArrayDone:
                if (Item(node, frame.Count) is not null)
                    Enter(CompiledGrammar.Comma, With(frame, FrameKind.ArrayItem));
                if (frame.Count >= node.Min)
                    Enter(GrammarNode.JsonSpace, With(frame, FrameKind.ArrayNext));
                break;
            default:
                Enter(CompiledGrammar.CloseBracket, next);
                break;
        }
    }

    private void EnterArrayItem(Frame frame, JsonArrayNode node, Frame next)
    {
        if (Item(node, frame.Count) is { } item)
            Enter(item, Push(FrameKind.ArrayDone, node, next, count: Clamped(frame.Count + 1, Math.Max(node.Min, node.Prefix.Count), node.Max)));
    }

    private static GrammarNode? Item(JsonArrayNode node, int index) =>
        index >= node.Max ? null : index < node.Prefix.Count ? node.Prefix[index] : node.Item;

    // Where there is no most, all counts from the least on are the same.
    private static int Clamped(int count, int min, int? max) => max is null ? Math.Min(count, min) : count;

    private Frame With(Frame frame, FrameKind kind, int index = 0) => Push(kind, frame.Node, frame.Next, index, frame.Count, frame.Seen);

    /// <summary>The frame with this content, the same object each time, so that equal configurations are found to be equal.</summary>
    private Frame Push(FrameKind kind, GrammarNode? node, Frame? next, int index = 0, int count = 0, BigInteger seen = default)
    {
        var key = (kind, node, index, count, seen, next);
        if (frames.TryGetValue(key, out var known))
            return known;
        if (frames.Count > MostFrames)
            frames.Clear();
        return frames[key] = new Frame(kind, node, index, count, seen, next);
    }
}
