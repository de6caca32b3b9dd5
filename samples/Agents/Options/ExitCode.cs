namespace Agents.Options;

/// <summary>How the program ended.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int BadArguments = 2;

    /// <summary>128 + SIGINT, as shells report it.</summary>
    public const int Cancelled = 130;
}
