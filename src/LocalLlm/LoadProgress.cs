namespace LocalLlm;

/// <summary>How far the loading of a model has come.</summary>
/// <param name="Stage">What is being done now, for a person to read.</param>
/// <param name="BytesLoaded">Bytes of the checkpoint read so far.</param>
/// <param name="BytesTotal">Bytes of the checkpoint that will be read.</param>
public sealed record LoadProgress(string Stage, long BytesLoaded, long BytesTotal);
