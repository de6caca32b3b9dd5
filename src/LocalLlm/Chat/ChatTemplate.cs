using System.Text.Json;
using LocalLlm.Chat.Jinja;

namespace LocalLlm.Chat;

/// <summary>
/// A model's chat template: conversations to prompts. Immutable and safe for concurrent use. Control tokens come from the template, from
/// the special tokens and from the names of roles; everything else that a request brings is marked as input.
/// </summary>
internal sealed class ChatTemplate
{
    private readonly JinjaTemplate _template;
    private readonly IReadOnlyDictionary<string, string> _specialTokens;
    private readonly Lazy<MessageShape> _shape;

    /// <param name="source">The Jinja source.</param>
    /// <param name="specialTokens">Texts of special tokens by variable name, such as <c>bos_token</c>.</param>
    /// <param name="limits">What rendering may use; null for the default.</param>
    /// <exception cref="ChatTemplateException">The source is no template that this engine can run.</exception>
    public ChatTemplate(string source, IReadOnlyDictionary<string, string> specialTokens, JinjaLimits? limits = null)
    {
        Source = source;
        _specialTokens = specialTokens;
        _template = JinjaTemplate.Parse(source, limits);
        _shape = new(() => MessageShape.Find(source, (messages, tools) => Render(messages, tools, true, NoVariables, TimeProvider.System)));
    }

    private static readonly IReadOnlyDictionary<string, JsonElement> NoVariables = new Dictionary<string, JsonElement>();

    /// <summary>The Jinja source.</summary>
    public string Source { get; }

    /// <summary>Renders a conversation.</summary>
    /// <param name="turns">The conversation, oldest turn first.</param>
    /// <param name="tools">The tools to show; none gives the template <c>tools = none</c>.</param>
    /// <param name="addGenerationPrompt">Ends the prompt where the assistant's answer begins.</param>
    /// <param name="variables">More variables for the template; they may not replace the standard ones.</param>
    /// <param name="time">The clock that templates see.</param>
    /// <returns>The prompt; neighbours differ in provenance.</returns>
    /// <exception cref="ChatTemplateException">The template refused the conversation, failed, or passed a limit.</exception>
    public IReadOnlyList<PromptSegment> Render(
        IReadOnlyList<ChatTurn> turns, IReadOnlyList<ToolDefinition> tools, bool addGenerationPrompt,
        IReadOnlyDictionary<string, JsonElement> variables, TimeProvider time)
    {
        try
        {
            // Only what differs between templates is worth the probes.
            var shape = turns.Any(t => t.ToolCalls.Count > 0) || MessageShape.MayNeedParts(Source) ? _shape.Value : MessageShape.Plain;
            var messages = ChatMessages.FromTurns(turns, shape);
            var toolList = ChatMessages.FromTools(tools);
            if (toolList is not null && MessageShape.ReadsToolsFromSystemMessage(Source))
                ChatMessages.AddToolsToSystemMessage(messages, toolList);
            return Render(messages, toolList, addGenerationPrompt, variables, time);
        }
        catch (InvalidOperationException e)
        {
            // System.Text.Json reads a lone surrogate, but cannot give it as a string.
            throw new ChatTemplateException($"A tool, a tool call or a template variable holds text that is not valid Unicode: {e.Message}", e);
        }
    }

    private IReadOnlyList<PromptSegment> Render(
        JinjaList messages, JinjaList? tools, bool addGenerationPrompt, IReadOnlyDictionary<string, JsonElement> variables, TimeProvider time)
    {
        var context = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (name, value) in variables)
        {
            if (name is "messages" or "tools" or "add_generation_prompt" || _specialTokens.ContainsKey(name))
                throw new ChatTemplateException($"The template variable '{name}' is set by the engine; remove it from "
                    + $"{nameof(GenerationRequest)}.{nameof(GenerationRequest.TemplateVariables)}.");
            context[name] = PythonJson.FromJson(value);
        }
        foreach (var (name, text) in _specialTokens)
            context[name] = JinjaText.Template(text);
        context["messages"] = messages;
        context["tools"] = tools;
        context.TryAdd("documents", null);
        context["add_generation_prompt"] = addGenerationPrompt;
        return _template.Render(context, time);
    }
}
