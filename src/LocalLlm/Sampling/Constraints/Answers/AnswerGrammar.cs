using LocalLlm.Sampling.Constraints.Automata;
using static LocalLlm.Sampling.Constraints.GrammarNode;

namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>The grammar of a whole assistant answer: reasoning, then text, calls, or text of a constraint.</summary>
/// <remarks>
/// A call ends the text: after it more calls may come, or the end. The markers of calls and of reasoning cannot be written where they would
/// mean something else, neither as control tokens nor in letters.
/// </remarks>
internal static class AnswerGrammar
{
    /// <summary>Builds a grammar.</summary>
    /// <param name="form">What the answer may be; something of it is constrained.</param>
    /// <param name="controlToken">The control token that a marker is, or null if it is spelled in text.</param>
    /// <param name="arguments">The grammar of a tool's arguments.</param>
    /// <param name="output">The grammar of the form's constraint.</param>
    public static GrammarNode Build(
        AnswerForm form, Func<string, int?> controlToken, Func<ToolDefinition, GrammarNode> arguments, Func<OutputConstraint, GrammarNode> output)
    {
        var calls = new ToolCallGrammar(form.Spelling, controlToken);
        var tools = form.Spelling == CallSpelling.None ? [] : form.Callable.Select(t => (t.Name, arguments(t))).ToList();
        var answers = new List<GrammarNode>();
        if (tools.Count > 0 && (form.Choice.MustCall || form.Constraint is not null))
            answers.Add(calls.Calls(tools, form.AllowParallelCalls));
        if (form.Constraint is { } constraint && !form.Choice.MustCall)
            answers.Add(output(constraint));
        if (answers.Count == 0)
            answers.AddRange(FreeAnswers(form, calls, tools, controlToken));

        var answer = Choice(answers);
        var close = calls.Marker(form.ReasoningClose);
        var reasoning = Sequence(FreeText([form.ReasoningClose], [], mayEnd: false, controlToken), JsonSpace);
        return form.Reasoning switch
        {
            ReasoningState.Open => Sequence(reasoning, answer),
            ReasoningState.Possible => Choice(answer, Sequence(JsonSpace, calls.Marker(form.ReasoningOpen), reasoning, answer)),
            _ => answer,
        };
    }

    /// <summary>Text in which, from an opener on, there are calls if there are tools to call, and otherwise no opener.</summary>
    private static IEnumerable<GrammarNode> FreeAnswers(
        AnswerForm form, ToolCallGrammar calls, List<(string Name, GrammarNode Arguments)> tools, Func<string, int?> controlToken)
    {
        string[] banned = form.Reasoning == ReasoningState.Possible ? [form.ReasoningOpen] : [];
        var text = FreeText([], [.. banned, .. calls.BannedInText], mayEnd: true, controlToken);
        var toOpener = FreeText(calls.Openers, [.. banned, .. calls.BannedInText.Except(calls.Openers)], mayEnd: false, controlToken);
        if (!calls.MayBeginBare)
        {
            yield return text;
            if (tools.Count > 0 && calls.OpensOnlyAtStart)
                yield return Sequence(JsonSpace, calls.Calls(tools, form.AllowParallelCalls));
            else if (tools.Count > 0)
                yield return Sequence(toOpener, calls.AfterOpener(tools, form.AllowParallelCalls));
            yield break;
        }

        // Where bare JSON is a call, text must not begin like one. An empty answer is text too.
        var rest = new List<GrammarNode> { text };
        if (tools.Count > 0)
        {
            var after = calls.AfterOpener(tools, form.AllowParallelCalls);
            rest.Add(Sequence(toOpener, after));
            yield return Sequence(JsonSpace, calls.Calls(tools, form.AllowParallelCalls));
        }

        yield return Sequence(JsonSpace, Optional(Sequence(Choice(ToolCallGrammar.OrdinaryStart(), ToolCallGrammar.OrdinaryBrace()), Choice(rest))));
    }

    private static FreeTextNode FreeText(IReadOnlyList<string> stops, IReadOnlyList<string> banned, bool mayEnd, Func<string, int?> controlToken)
    {
        // A marker that is a token is read the same if it is spelled in letters, so that is banned.
        var spelledStops = stops.Where(s => controlToken(s) is null).ToList();
        return new FreeTextNode(
            spelledStops, [.. stops.Select(controlToken).OfType<int>()], mayEnd,
            [.. banned, .. stops.Where(s => controlToken(s) is not null)], [.. banned.Select(controlToken).OfType<int>()]);
    }
}
