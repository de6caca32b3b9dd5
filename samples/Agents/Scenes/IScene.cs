using System.Text.Json.Nodes;
using Agents.Scoring;

namespace Agents.Scenes;

/// <summary>Something that the sample shows.</summary>
internal interface IScene
{
    /// <summary>Plays it to its end.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before there was anything to report.</exception>
    Task<SceneResult> RunAsync(SceneContext context);
}

/// <summary>How a scene ended.</summary>
/// <param name="End">Why.</param>
/// <param name="Figures">What <c>--json</c> prints: names in snake_case.</param>
internal sealed record SceneResult(ConversationEnd End, JsonObject Figures);
