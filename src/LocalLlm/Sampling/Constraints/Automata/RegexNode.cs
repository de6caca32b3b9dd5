namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>The syntax tree of a regular expression.</summary>
internal abstract record RegexNode;

/// <summary>One character of a set.</summary>
internal sealed record RegexSet(CharSet Set) : RegexNode;

/// <summary>One after the other.</summary>
internal sealed record RegexSequence(IReadOnlyList<RegexNode> Items) : RegexNode;

/// <summary>One of several.</summary>
internal sealed record RegexChoice(IReadOnlyList<RegexNode> Items) : RegexNode;

/// <summary>A number of times; no maximum if it is null.</summary>
internal sealed record RegexRepeat(RegexNode Item, int Min, int? Max) : RegexNode;

/// <summary>Nothing, at the text's start or end.</summary>
internal sealed record RegexAnchor(NfaCondition Where) : RegexNode;
