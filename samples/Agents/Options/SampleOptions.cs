using LocalLlm;

namespace Agents.Options;

/// <summary>What the command line asks for.</summary>
internal sealed record SampleOptions
{
    /// <summary>Turns of the scripted conversation where <see cref="Turns"/> is null.</summary>
    public const int DefaultTurns = 60;

    /// <summary>The folder of the model that ships, beside the program.</summary>
    public static string ShippedModelPath => Path.Combine(AppContext.BaseDirectory, "model");

    public bool Help { get; init; }

    /// <summary>Talk to the agent instead of watching the script: short for the scene "chat".</summary>
    public bool Chat { get; init; }

    /// <summary>The scene; null for the scripted conversation, or the chat where <see cref="Chat"/> is set.</summary>
    public string? Scene { get; init; }

    /// <summary>The scene to play, or "list".</summary>
    public string SceneName => Scene ?? (Chat ? SceneNames.Chat : SceneNames.Conversation);

    /// <summary>A user types.</summary>
    public bool IsChat => SceneName == SceneNames.Chat;

    /// <summary>The port of the scene "host" on the loopback address; null, or 0, for any that is free.</summary>
    public int? Port { get; init; }

    /// <summary>A Hugging Face model folder; null for the model that ships.</summary>
    public string? ModelPath { get; init; }

    /// <summary>The cache; the engine's own choice by default.</summary>
    public KvCacheKind Kv { get; init; } = new KvCacheOptions().Kind;

    /// <summary>The cache as --kv names it.</summary>
    public string KvName => Kv switch { KvCacheKind.Dense => "dense", KvCacheKind.LogQuant => "logquant", _ => "streaming" };

    public string Device { get; init; } = "auto";

    /// <summary>Turns of the scripted conversation; null for <see cref="DefaultTurns"/>.</summary>
    public int? Turns { get; init; }

    /// <summary>Decides the script, and the sampling where the model samples.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>The most tokens of one answer; null for <see cref="AnswerTokens"/>'s default.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>The most tokens of one answer. The model that ships answers in a sentence or two; another may think first.</summary>
    public int AnswerTokens => MaxTokens ?? (ModelPath is null ? 128 : 1024);

    /// <summary>Where caches go that leave memory, and conversations that are saved; null to lose them. A scene sets it, not the command line.</summary>
    public string? SpillDirectory { get; init; }

    /// <summary>Print one JSON object as the last line.</summary>
    public bool Json { get; init; }

    /// <summary>Plain text on a terminal too.</summary>
    public bool NoColor { get; init; }
}
