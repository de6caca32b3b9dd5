using System.Text;
using System.Text.Json;
using LocalLlm.Tokenization;

namespace LocalLlm.Sampling.Constraints.Answers;

/// <summary>
/// Makes the constraints of answers for one model. What takes time is kept: agents send the same tools each turn. Safe for concurrent use.
/// </summary>
internal sealed class AnswerConstraints
{
    private const int MostKept = 32;

    private readonly Func<string, int?> controlToken;
    private readonly Lazy<ConstraintVocabulary> vocabulary;
    private readonly ConstraintCompiler compiler = new();
    private readonly Lock keptLock = new();
    private readonly LinkedList<(string Key, CompiledGrammar Grammar)> kept = []; // least recently used first

    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="endIds">The tokens that end an output.</param>
    /// <param name="logitCount">Logits of the model.</param>
    public AnswerConstraints(TextTokenizer tokenizer, IReadOnlySet<int> endIds, int logitCount)
    {
        controlToken = text => tokenizer.TryGetId(text, out var id) && tokenizer.IsAdded(id) && id < logitCount ? id : null;
        // Preparing the tokens takes a while, which a model that is never constrained need not spend.
        vocabulary = new(() => ConstraintVocabulary.Create(tokenizer, endIds, logitCount));
    }

    /// <summary>The constraint of an answer; null if nothing of it is constrained.</summary>
    /// <exception cref="ConstraintException">The constraint or a tool's schema cannot be enforced, or a call that is required.</exception>
    public TokenConstraint? Start(AnswerForm form)
    {
        if (form.Choice.MustCall && form.Spelling == CallSpelling.None)
            throw new ConstraintException("The request requires a tool call, but the model's chat template shows no form of calls that is known, so that "
                + $"none can be enforced. Name the form in {nameof(LlmEngineOptions)}.{nameof(LlmEngineOptions.ToolCallFormat)}, or use "
                + $"{nameof(ToolChoice)}.{nameof(ToolChoice.Auto)}.");
        return form.IsConstrained ? Kept(Key(form), () => AnswerGrammar.Build(form, controlToken, Arguments, compiler.Compile)).Start() : null;
    }

    /// <summary>The constraint of text that continues a raw prompt.</summary>
    /// <exception cref="ConstraintException">The constraint cannot be enforced.</exception>
    public TokenConstraint StartText(OutputConstraint constraint) =>
        Kept("text " + Key(constraint), () => compiler.Compile(constraint)).Start(continuesText: true);

    private GrammarNode Arguments(ToolDefinition tool)
    {
        var subject = $"The parameters of tool '{tool.Name}'";
        return compiler.CompileSchema(ToolParameters.Enforced(tool.Parameters, subject), subject);
    }

    private CompiledGrammar Kept(string key, Func<GrammarNode> build)
    {
        lock (keptLock)
        {
            for (var entry = kept.Last; entry is not null; entry = entry.Previous)
            {
                if (entry.Value.Key != key)
                    continue;
                kept.Remove(entry);
                kept.AddLast(entry);
                return entry.Value.Grammar;
            }
        }

        // Outside the lock: two may build the same, and one of the two is kept.
        var grammar = CompiledGrammar.Create(build(), vocabulary.Value);
        lock (keptLock)
        {
            kept.AddLast((key, grammar));
            if (kept.Count > MostKept)
                kept.RemoveFirst();
        }

        return grammar;
    }

    /// <summary>The content of a form as text; equal for what has the same grammar.</summary>
    private static string Key(AnswerForm form)
    {
        var key = new StringBuilder();
        key.Append(form.Spelling).Append(form.AllowParallelCalls).Append(form.Choice.MustCall).Append(form.Reasoning)
            .Append(form.ReasoningOpen).Append(form.ReasoningClose).Append('\n').Append(form.Constraint is { } constraint ? Key(constraint) : "");
        foreach (var tool in form.Callable)
        {
            key.Append('\n').Append(JsonSerializer.Serialize(tool.Name)).Append(' ');
            if (tool.Parameters.ValueKind != JsonValueKind.Undefined)
                key.Append(tool.Parameters.GetRawText());
        }

        return key.ToString();
    }

    private static string Key(OutputConstraint constraint) => constraint switch
    {
        JsonSchemaConstraint { Schema: { ValueKind: not JsonValueKind.Undefined } schema } => "schema " + schema.GetRawText(),
        RegexConstraint regex => "regex " + JsonSerializer.Serialize(regex.Pattern),
        ChoiceConstraint choice => "choice " + JsonSerializer.Serialize(choice.Choices),
        _ => constraint.GetType().Name,
    };
}
