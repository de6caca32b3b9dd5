namespace LocalLlm;

/// <summary>
/// A piece of a rendered prompt. Control tokens (<c>&lt;|im_end|&gt;</c> and the like) are recognised in template text only, so that a
/// message can never forge one. Otherwise the segments of a prompt are encoded as the one text that they join to.
/// </summary>
/// <param name="Text">The text; never null.</param>
/// <param name="IsTemplate">True when the chat template wrote it; false when it comes from a message, a tool or another input.</param>
public readonly record struct PromptSegment(string Text, bool IsTemplate);
