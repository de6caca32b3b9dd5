namespace LocalLlm.Soak;

/// <summary>A soak that found something wrong.</summary>
internal sealed class SoakException(string message) : Exception(message);
