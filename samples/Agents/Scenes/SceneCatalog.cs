using Agents.Options;

namespace Agents.Scenes;

/// <summary>Makes the scene that the command line names.</summary>
internal static class SceneCatalog
{
    public static IScene Create(SampleOptions options) => options.SceneName switch
    {
        SceneNames.Chat => new ConversationScene(new ChatScene()),
        SceneNames.Assistant => new ConversationScene(new ScriptedScene(AssistantScript.SystemPrompt, AssistantScript.Turns)),
        SceneNames.Pair => new PairScene(),
        SceneNames.Resume => new ResumeScene(),
        SceneNames.Extract => new ExtractScene(),
        SceneNames.Host => new HostScene(),
        _ => new ConversationScene(new ScriptedScene(options)),
    };
}
