namespace LocalLlm.Sampling.Constraints.Automata;

/// <summary>From regular expressions to automata.</summary>
internal static class RegexCompiler
{
    /// <summary>The language of a pattern.</summary>
    public static CharDfa Compile(string pattern, bool anchored) => throw new ConstraintException("The regular expression", [$"'{pattern}' ({anchored}) is not compiled yet"]);
}
