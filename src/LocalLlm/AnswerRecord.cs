using System.Text;
using LocalLlm.Sessions;

namespace LocalLlm;

/// <summary>Collects the updates of one answer.</summary>
internal sealed class AnswerRecord
{
    private readonly StringBuilder content = new();
    private readonly StringBuilder reasoning = new();
    private readonly List<ToolCall> calls = [];

    /// <summary>True once a tool call was added.</summary>
    public bool HasToolCalls => calls.Count > 0;

    /// <summary>Adds an update; what is neither text nor a call is passed over.</summary>
    public void Add(GenerationUpdate update)
    {
        switch (update)
        {
            case TextDelta delta:
                content.Append(delta.Text);
                break;
            case ReasoningDelta delta:
                reasoning.Append(delta.Text);
                break;
            case ToolCallUpdate { Call: var call }:
                calls.Add(call);
                break;
        }
    }

    /// <summary>What was said.</summary>
    public WrittenMessage ToMessage() => new(content.ToString(), reasoning.ToString(), [.. calls]);
}
