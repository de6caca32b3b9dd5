using LocalLlm;
using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>Holds an answer's tool calls against what the request demanded of them.</summary>
internal sealed class CallCheck(ChatRequest request, ILogger logger)
{
    private int _accepted;

    /// <summary>False for a call beyond the one that was asked for.</summary>
    public bool Accept(ToolCall call)
    {
        if (request.RequiredFunction is { } required && call.Name != required)
            throw new InvalidOperationException($"The request requires a call of '{required}', but the model called '{call.Name}'. {Advice}");
        if (request.SingleCall && _accepted > 0)
        {
            Log.CallLeftOut(logger, call.Name);
            return false;
        }
        _accepted++;
        return true;
    }

    public void Complete(GenerationCompleted completed)
    {
        if (!request.CallRequired || _accepted > 0)
            return;
        var required = request.RequiredFunction is { } name ? $"a call of '{name}'" : "a tool call";
        throw new InvalidOperationException(completed.FinishReason == FinishReason.Length
            ? $"The request requires {required}, but the answer ended after {completed.Usage.CompletionTokens} tokens, at its limit, before one "
                + "was complete. Raise MaxOutputTokens or shorten the conversation."
            : $"The request requires {required}, but the model answered without one. {Advice}");
    }

    private const string Advice = "Calls cannot be forced yet (that needs constrained decoding): say in the prompt that a tool must be called, "
        + "or use the tool mode Auto.";
}
