namespace LocalLlm.Chat.Jinja;

/// <summary>
/// A parsed Jinja2 template, in the dialect of Hugging Face's chat templates: trim_blocks, lstrip_blocks, loop controls, <c>generation</c>
/// blocks, and their own globals. Immutable; rendering is safe from several threads.
/// </summary>
internal sealed class JinjaTemplate
{
    private readonly Body _body;
    private readonly JinjaLimits _limits;

    private JinjaTemplate(Body body, JinjaLimits limits) => (_body, _limits) = (body, limits);

    /// <exception cref="ChatTemplateException">The source is no template, or passes a limit.</exception>
    public static JinjaTemplate Parse(string source, JinjaLimits? limits = null)
    {
        limits ??= JinjaLimits.Default;
        return new(JinjaParser.Parse(source, limits), limits);
    }

    /// <summary>Renders with these variables. Values that the template may change must not be shared with other renders.</summary>
    /// <exception cref="ChatTemplateException">The template fails, refuses its input, or passes a limit.</exception>
    public IReadOnlyList<PromptSegment> Render(IReadOnlyDictionary<string, object?> variables, TimeProvider time)
    {
        var context = new RenderContext(_limits, time, variables);
        _body.Execute(context);
        return context.Output.ToSegments();
    }
}
