namespace LocalLlm.Chat;

/// <summary>A conversation as the model reads it, and the parser of the answer.</summary>
/// <param name="Segments">The prompt.</param>
/// <param name="Parser">Parses the answer.</param>
/// <param name="IsInReasoning">The prompt leaves the reasoning open.</param>
/// <param name="MayReason">The answer may begin with reasoning of its own.</param>
internal sealed record RenderedChat(IReadOnlyList<PromptSegment> Segments, ChatOutputParser Parser, bool IsInReasoning, bool MayReason);

/// <summary>How a model chats: its templates, the form of its tool calls and of its reasoning. Immutable and safe for concurrent use.</summary>
internal sealed class ChatFormat
{
    private readonly ChatTemplate template;
    private readonly ChatTemplate toolTemplate;

    private ChatFormat(ChatTemplate template, ChatTemplate toolTemplate, ToolCallFormat? toolCalls)
    {
        (this.template, this.toolTemplate) = (template, toolTemplate);
        ToolCalls = toolCalls ?? ToolCallFormats.Detect(toolTemplate.Source);
        Reasoning = ReasoningMarkers.Detect(template.Source);
    }

    /// <summary>The form of tool calls.</summary>
    public ToolCallFormat ToolCalls { get; }

    /// <summary>What begins and ends reasoning.</summary>
    public ReasoningMarkers Reasoning { get; }

    /// <summary>The source of the template that shows tools.</summary>
    public string ToolTemplateSource => toolTemplate.Source;

    /// <summary>Reads a model folder's templates.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="specialTokens">The tokenizer's special tokens by name, for what the folder's other files do not tell.</param>
    /// <param name="toolCalls">The form of tool calls; null takes it from the template.</param>
    /// <returns>Null if the folder has no template.</returns>
    /// <exception cref="ModelLoadException">A file is wrong.</exception>
    /// <exception cref="ChatTemplateException">A template is wrong.</exception>
    public static ChatFormat? TryLoad(string folder, IReadOnlyDictionary<string, string> specialTokens, ToolCallFormat? toolCalls)
    {
        var source = ChatTemplateSource.Read(folder);
        if (!source.HasTemplate)
            return null;
        var tokens = new Dictionary<string, string>(specialTokens);
        foreach (var (name, text) in source.SpecialTokens)
            tokens[name] = text;
        var (plain, withTools) = (source.Select(hasTools: false), source.Select(hasTools: true));
        var template = new ChatTemplate(plain, tokens);
        return new ChatFormat(template, withTools == plain ? template : new ChatTemplate(withTools, tokens), toolCalls);
    }

    /// <summary>Renders a conversation up to where the assistant's next answer begins.</summary>
    /// <exception cref="ChatTemplateException">The template refused the conversation, failed, or shows no tools though there are some.</exception>
    public RenderedChat Render(GenerationRequest request, TimeProvider time, bool addGenerationPrompt = true)
    {
        var hasTools = request.Tools.Count > 0;
        var chosen = hasTools ? toolTemplate : template;
        if (hasTools && !chosen.Source.Contains("tools", StringComparison.Ordinal))
            throw new ChatTemplateException($"The request has {request.Tools.Count} tools, but the model's chat template knows no tools, so the model would never see them. "
                + "Send none, or give the model a template that renders them (chat_template.jinja in its folder).");
        var segments = chosen.Render(request.Turns, request.Tools, addGenerationPrompt, request.TemplateVariables, time);
        // Where no tool can be called, nothing is a call.
        var choice = request.ToolChoice;
        var names = request.Tools.Select(t => t.Name)
            .Where(n => choice.MayCall && (choice.FunctionName is null || choice.FunctionName == n)).ToHashSet();
        var isInReasoning = Reasoning.StartsInReasoning(segments);
        var parser = new ChatOutputParser(ToolCalls, isInReasoning, Reasoning, names);
        return new RenderedChat(segments, parser, isInReasoning, !isInReasoning && Reasoning.MayFollow(chosen.Source, segments));
    }
}
