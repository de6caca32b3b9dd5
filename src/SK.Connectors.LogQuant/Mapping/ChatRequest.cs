using LocalLlm;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>A request for the engine, and what the client itself must see to.</summary>
/// <param name="Generation">What the engine gets.</param>
internal sealed record ChatRequest(GenerationRequest Generation)
{
    /// <summary>The answer must hold a tool call.</summary>
    public bool CallRequired { get; init; }

    /// <summary>The one function that may be called, if the caller named it.</summary>
    public string? RequiredFunction { get; init; }

    /// <summary>At most one tool call is wanted.</summary>
    public bool SingleCall { get; init; }

    /// <summary>Reasoning is generated but not handed out.</summary>
    public bool HideReasoning { get; init; }
}
