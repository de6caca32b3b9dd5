using System.Numerics;

namespace LocalLlm.Sampling.Constraints;

/// <summary>What happens at a frame when the part before it has come to its end.</summary>
internal enum FrameKind
{
    /// <summary>The output may end.</summary>
    End,

    /// <summary>Item <see cref="Frame.Index"/> of a sequence comes.</summary>
    Sequence,

    /// <summary><see cref="Frame.Count"/> items of a repetition are done.</summary>
    Repeat,

    /// <summary>The separator after so many items is done.</summary>
    RepeatSeparated,

    /// <summary>The opening brace is done.</summary>
    ObjectOpen,

    /// <summary>So is the white space after it: a first name or the closing brace.</summary>
    ObjectFirst,

    /// <summary>A name comes.</summary>
    ObjectName,

    /// <summary>The name of property <see cref="Frame.Index"/> is done.</summary>
    ObjectColon,

    /// <summary>So is the colon: its value comes.</summary>
    ObjectValue,

    /// <summary>A property is done: a comma, or white space before the end.</summary>
    ObjectProperty,

    /// <summary>So is the white space after it: the closing brace.</summary>
    ObjectNext,

    /// <summary>The opening bracket is done.</summary>
    ArrayOpen,

    /// <summary>So is the white space after it: a first item or the closing bracket.</summary>
    ArrayFirst,

    /// <summary>An item comes.</summary>
    ArrayItem,

    /// <summary>An item is done: a comma, or white space before the end.</summary>
    ArrayDone,

    /// <summary>So is the white space after it: the closing bracket.</summary>
    ArrayNext,
}

/// <summary>What follows a part of a grammar, down to the end: an immutable stack, parts of which configurations share.</summary>
/// <param name="kind">What happens here.</param>
/// <param name="node">The node that is under way.</param>
/// <param name="index">A place in it.</param>
/// <param name="count">Items or properties that are done.</param>
/// <param name="seen">Named properties that are done, a bit each.</param>
/// <param name="next">What follows that node.</param>
internal sealed class Frame(FrameKind kind, GrammarNode? node, int index, int count, BigInteger seen, Frame? next)
{
    public FrameKind Kind => kind;

    public GrammarNode? Node => node;

    public int Index => index;

    public int Count => count;

    public BigInteger Seen => seen;

    public Frame? Next => next;

    /// <summary>The state when the part before has come to its end; null until it is asked for.</summary>
    public GrammarState? After { get; set; }
}
