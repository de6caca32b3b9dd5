namespace SK.Connectors.LogQuant.Engines;

/// <summary>How far an engine is from answering.</summary>
internal enum EngineState
{
    /// <summary>Nobody has asked for it yet.</summary>
    NotLoaded,

    /// <summary>It is being loaded.</summary>
    Loading,

    /// <summary>The last load failed; the next request tries again.</summary>
    LoadFailed,

    /// <summary>It is loaded.</summary>
    Ready,

    /// <summary>It was disposed of.</summary>
    Disposed,
}
