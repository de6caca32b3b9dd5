namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>
/// What goes on once a part of the grammar is complete: a place in a node, and what comes after that node. Immutable; equal frames of a matcher are
/// one object.
/// </summary>
/// <param name="Node">A sequence, repeat, array or object.</param>
/// <param name="Phase">The part of the node that is under way.</param>
/// <param name="Item">Which item of a sequence, or which property of an object.</param>
/// <param name="Count">Items or properties complete, as far as the node's bounds tell counts apart.</param>
/// <param name="Done">The named properties that are there, by the number of their set.</param>
/// <param name="Parent">What comes after the node; null for the end.</param>
internal readonly record struct FrameKey(GrammarNode Node, FramePhase Phase, int Item, int Count, int Done, Frame? Parent);

/// <summary>A frame of a matcher.</summary>
internal sealed class Frame(int id, FrameKey key)
{
    /// <summary>Orders frames.</summary>
    public int Id => id;

    public FrameKey Key => key;
}

/// <summary>The part of a node that is under way.</summary>
internal enum FramePhase
{
    /// <summary>An item of a sequence or repeat, an array's item, or a property's value.</summary>
    Item,

    /// <summary>What stands between two items.</summary>
    Separator,

    /// <summary>The opening bracket and white space.</summary>
    Opening,

    /// <summary>A property's name.</summary>
    Name,

    /// <summary>The colon.</summary>
    Colon,
}
