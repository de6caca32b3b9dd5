using LocalLlm.Sampling.Constraints.Automata;
using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>
/// The grammar as an automaton whose states, sets of <see cref="Configuration"/>s, are made when they are first needed. Not thread-safe: a compiled
/// grammar guards it.
/// </summary>
internal sealed class GrammarMatcher
{
    private const int BytesPerState = 200;
    private const int BytesPerTransitions = 8 * 256;

    private readonly GrammarNode root;
    private readonly ConstraintVocabulary vocabulary;
    private readonly CacheMeter meter;
    private readonly Terminals terminals;
    private readonly PropertySets sets = new();
    private readonly Dictionary<JsonObjectNode, ObjectShape> shapes = [];
    private readonly Dictionary<FrameKey, Frame> frames = [];
    private readonly HashSet<MatcherState> states = new(new MatcherState.Comparer());
    private readonly Dictionary<Configuration, MatcherState> closed = [];

    // The set under construction.
    private readonly HashSet<Configuration> configurations = [];
    private readonly HashSet<Frame> completed = [];
    private bool mayEnd;
    private int frameCount;
    private int generation;

    public GrammarMatcher(GrammarNode root, ConstraintVocabulary vocabulary, CacheMeter meter)
    {
        (this.root, this.vocabulary, this.meter, terminals) = (root, vocabulary, meter, new Terminals(meter));
        GrammarRules.Check(root, vocabulary.LogitCount);
        Start = MakeStart();
    }

    /// <summary>The state before anything.</summary>
    public MatcherState Start { get; private set; }

    /// <summary>Forgets all states and transitions. States handed out remain valid once <see cref="Refresh(MatcherState)"/> has taken them over.</summary>
    public void Drop()
    {
        states.Clear();
        frames.Clear();
        closed.Clear();
        terminals.DropRows();
        meter.Reset();
        generation++;
        Start = MakeStart();
    }

    /// <summary>The state as one of this generation of the caches.</summary>
    public MatcherState Refresh(MatcherState state)
    {
        if (state.Generation == generation)
            return state;
        Begin();
        foreach (var (machine, number, frame) in state.Configurations)
            configurations.Add(new Configuration(machine, number, Refresh(frame)));
        mayEnd = state.MayEnd;
        return End()!;
    }

    /// <summary>The state after a byte; null if it cannot come next.</summary>
    public MatcherState? Step(MatcherState state, byte value)
    {
        if (state.Next is null)
        {
            state.Next = new MatcherState?[256];
            meter.Add(BytesPerTransitions);
        }

        if (state.Next[value] is { } known)
            return known == Nowhere ? null : known;
        Begin();
        foreach (var (machine, number, frame) in state.Configurations)
        {
            if (machine.Step(number, value) is var next and not ByteMachine.Dead)
                Add(machine, next, frame);
        }

        var result = End();
        state.Next[value] = result ?? Nowhere;
        return result;
    }

    /// <summary>The state after some bytes; null if they cannot come next.</summary>
    public MatcherState? Step(MatcherState state, ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < bytes.Length;)
        {
            if (!state.IsWithinTerminal)
            {
                if (Step(state, bytes[i++]) is not { } next)
                    return null;
                state = next;
                continue;
            }

            // Within a terminal the states between are of no use to anybody.
            var (machine, number, frame) = state.Configurations[0];
            do
            {
                number = machine.Step(number, bytes[i++]);
                if (number == ByteMachine.Dead)
                    return null;
            }
            while (i < bytes.Length && !machine.IsAccepting(number));
            state = After(machine, number, frame);
        }

        return state;
    }

    /// <summary>The state after a token; null if it cannot come next.</summary>
    /// <param name="state">The state before it.</param>
    /// <param name="id">The token.</param>
    /// <param name="text">What it adds to the text; empty for a control token.</param>
    public MatcherState? StepToken(MatcherState state, int id, ReadOnlySpan<byte> text)
    {
        var spelled = vocabulary.IsText(id) ? Step(state, text) : null;
        if (!state.TakesControlTokens)
            return spelled;
        Begin();
        foreach (var (machine, number, frame) in state.Configurations)
            StepControl(machine, number, frame, id);
        foreach (var configuration in spelled?.Configurations ?? [])
            configurations.Add(configuration);
        mayEnd |= spelled is { MayEnd: true };
        return End();
    }

    /// <summary>The state once a terminal has come to one of its states.</summary>
    public MatcherState After(ByteMachine machine, int number, Frame? frame)
    {
        var key = new Configuration(machine, number, frame);
        if (!closed.TryGetValue(key, out var state))
        {
            Begin();
            Add(machine, number, frame);
            closed.Add(key, state = End()!);
            meter.Add(BytesPerState);
        }

        return state;
    }

    /// <summary>The state of these configurations.</summary>
    public MatcherState Of(IEnumerable<Configuration> some)
    {
        Begin();
        configurations.UnionWith(some);
        return End()!;
    }

    private static MatcherState Nowhere { get; } = new([], false, -1);

    private MatcherState MakeStart()
    {
        Begin();
        Enter(root, null);
        return End() ?? throw new InvalidOperationException("The grammar is empty.");
    }

    private Frame? Refresh(Frame? frame)
    {
        // From the outermost inwards, without recursion: documents nest deeply.
        var inner = new Stack<Frame>();
        for (var f = frame; f is not null; f = f.Key.Parent)
            inner.Push(f);
        Frame? result = null;
        while (inner.TryPop(out var f))
            result = Push(f.Key with { Parent = result });
        return result;
    }

    private void Begin()
    {
        configurations.Clear();
        completed.Clear();
        mayEnd = false;
    }

    private MatcherState? End()
    {
        if (configurations.Count == 0 && !mayEnd)
            return null;
        var sorted = configurations.ToArray();
        if (sorted.Length > 1)
            Array.Sort(sorted);
        var made = new MatcherState(sorted, mayEnd, generation);
        if (states.TryGetValue(made, out var known))
            return known;
        states.Add(made);
        meter.Add(BytesPerState + 24 * sorted.Length);
        return made;
    }

    private Frame Push(FrameKey key)
    {
        if (!frames.TryGetValue(key, out var frame))
        {
            frames.Add(key, frame = new Frame(frameCount++, key));
            meter.Add(BytesPerState);
        }

        return frame;
    }

    private Frame Push(GrammarNode node, FramePhase phase, int item, int count, int done, Frame? parent) =>
        Push(new FrameKey(node, phase, item, count, done, parent));

    private void Add(ByteMachine machine, int number, Frame? frame)
    {
        if (machine.CanContinue(number))
            configurations.Add(new Configuration(machine, number, frame));
        if (machine.IsAccepting(number))
            Complete(frame);
    }

    private void Begin(ByteMachine machine, Frame? frame) => Add(machine, machine.Start, frame);

    private void StepControl(ByteMachine machine, int number, Frame? frame, int id)
    {
        switch (machine)
        {
            case TokenMachine token when token.TokenId == id:
                Complete(frame);
                break;
            case FreeTextMachine free when free.IsStop(id):
                Complete(frame);
                break;
            case FreeTextMachine free when vocabulary.IsControl(id) && !vocabulary.EndIds.Contains(id):
                if (free.StepControl(number, id, vocabulary.Bytes(id)) is var next and not ByteMachine.Dead)
                    Add(free, next, frame);
                break;
        }
    }

    private void Enter(GrammarNode node, Frame? parent)
    {
        switch (node)
        {
            case SequenceNode { Items.Count: 0 }:
                Complete(parent);
                break;
            case SequenceNode sequence:
                EnterItem(sequence, 0, parent);
                break;
            case ChoiceNode choice:
                foreach (var item in choice.Items)
                    Enter(item, parent);
                break;
            case ReferenceNode reference:
                Enter(reference.Target!, parent);
                break;
            case RepeatNode repeat:
                if (repeat.Min == 0)
                    Complete(parent);
                if (repeat.Max is not 0)
                    Enter(repeat.Item, Push(repeat, FramePhase.Item, 0, Counted(1, repeat.Min, repeat.Max), 0, parent));
                break;
            case JsonArrayNode:
                Begin(terminals.OpenBracket, Push(node, FramePhase.Opening, 0, 0, 0, parent));
                break;
            case JsonObjectNode:
                Begin(terminals.OpenBrace, Push(node, FramePhase.Opening, 0, 0, 0, parent));
                break;
            default:
                Begin(terminals.Of(node), parent);
                break;
        }
    }

    /// <summary>Goes on with what comes after a part that is complete.</summary>
    private void Complete(Frame? frame)
    {
        if (frame is null)
        {
            mayEnd = true;
            return;
        }

        if (!completed.Add(frame))
            return;
        var key = frame.Key;
        switch (key.Node)
        {
            case SequenceNode sequence:
                EnterItem(sequence, key.Item, key.Parent);
                break;
            case RepeatNode repeat:
                CompleteRepeat(repeat, key);
                break;
            case JsonArrayNode array:
                CompleteArray(array, key);
                break;
            case JsonObjectNode node:
                CompleteObject(Shape(node), key);
                break;
        }
    }

    /// <summary>An item of a sequence; the last leaves no frame behind, so that recursion at the end nests nothing.</summary>
    private void EnterItem(SequenceNode sequence, int item, Frame? parent) =>
        Enter(sequence.Items[item], item == sequence.Items.Count - 1 ? parent : Push(sequence, FramePhase.Item, item + 1, 0, 0, parent));

    private void CompleteRepeat(RepeatNode repeat, FrameKey key)
    {
        if (key.Phase == FramePhase.Separator)
        {
            Enter(repeat.Item, Push(key with { Phase = FramePhase.Item, Count = Counted(key.Count + 1, repeat.Min, repeat.Max) }));
            return;
        }

        if (key.Count >= repeat.Min)
            Complete(key.Parent);
        if (key.Count < (repeat.Max ?? int.MaxValue))
            Enter(repeat.Separator, Push(key with { Phase = FramePhase.Separator }));
    }

    private void CompleteArray(JsonArrayNode array, FrameKey key)
    {
        if (key.Phase == FramePhase.Separator || (key.Phase == FramePhase.Opening && HasItem(array, 0)))
        {
            var item = key.Count < array.Prefix.Count ? array.Prefix[key.Count] : array.Item!;
            var count = Counted(key.Count + 1, Math.Max(array.Min, array.Prefix.Count), array.Max);
            Enter(item, Push(key with { Phase = FramePhase.Item, Count = count }));
        }

        if (key.Phase != FramePhase.Separator && key.Count >= array.Min)
            Begin(key.Phase == FramePhase.Opening ? terminals.CloseBracketAtOnce : terminals.CloseBracket, key.Parent);
        if (key.Phase == FramePhase.Item && HasItem(array, key.Count))
            Begin(terminals.Comma, Push(key with { Phase = FramePhase.Separator }));
    }

    private static bool HasItem(JsonArrayNode array, int count) =>
        count < (array.Max ?? int.MaxValue) && (count < array.Prefix.Count || array.Item is not null);

    private void CompleteObject(ObjectShape shape, FrameKey key)
    {
        switch (key.Phase)
        {
            case FramePhase.Name:
                Begin(terminals.Colon, Push(key with { Phase = FramePhase.Colon }));
                return;
            case FramePhase.Colon:
                var named = key.Item < shape.Node.Properties.Count;
                var done = named ? sets.With(key.Done, key.Item) : key.Done;
                var count = Counted(key.Count + 1, shape.Min, shape.Max);
                Enter(shape.Value(key.Item), Push(shape.Node, FramePhase.Item, 0, count, done, key.Parent));
                return;
        }

        if (key.Phase != FramePhase.Separator && key.Count >= shape.Min && shape.MissingCount(key.Done) == 0)
            Begin(key.Phase == FramePhase.Opening ? terminals.CloseBraceAtOnce : terminals.CloseBrace, key.Parent);
        for (var item = 0; item < shape.ItemCount; item++)
        {
            if (!shape.MayFollow(item, key.Done, key.Count))
                continue;
            if (key.Phase == FramePhase.Item)
            {
                Begin(terminals.Comma, Push(key with { Phase = FramePhase.Separator }));
                return;
            }

            Begin(shape.Name(item), Push(shape.Node, FramePhase.Name, item, key.Count, key.Done, key.Parent));
        }
    }

    private ObjectShape Shape(JsonObjectNode node)
    {
        if (!shapes.TryGetValue(node, out var shape))
            shapes.Add(node, shape = new ObjectShape(node, terminals, sets));
        return shape;
    }

    /// <summary>A count as far as bounds tell counts apart: where there is no upper one, all from the lower on are the same.</summary>
    private static int Counted(int count, int min, int? max) => max is null ? Math.Min(count, min) : count;
}
