using LocalLlm;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>A request for the engine, and what the client itself must see to.</summary>
/// <param name="Generation">What the engine gets.</param>
internal sealed record ChatRequest(GenerationRequest Generation)
{
    /// <summary>Reasoning is generated but not handed out.</summary>
    public bool HideReasoning { get; init; }
}
