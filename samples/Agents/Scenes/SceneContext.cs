using Agents.Conversation;
using Agents.Display;
using Agents.Options;
using LocalLlm;

namespace Agents.Scenes;

/// <summary>What a scene plays with.</summary>
/// <param name="Options">The command line.</param>
/// <param name="Terminal">Where to show it.</param>
/// <param name="Interrupt">Ctrl-C.</param>
internal sealed record SceneContext(SampleOptions Options, Terminal Terminal, Interrupt Interrupt)
{
    /// <summary>Loads the model of the options.</summary>
    public Func<SampleOptions, CancellationToken, Task<ILlmEngine>> Loader { get; init; } = LocalModel.LoadAsync;

    /// <summary>Loads the model; Ctrl-C ends the load.</summary>
    public Task<ILlmEngine> LoadEngineAsync() =>
        Interrupt.RunAsync(token => Terminal.WaitAsync("loading the model", () => Loader(Options, token)));
}
