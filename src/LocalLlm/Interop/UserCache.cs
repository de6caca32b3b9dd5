namespace LocalLlm.Interop;

/// <summary>Where files go that can be made again.</summary>
internal static class UserCache
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private const UnixFileMode OthersWrite = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    /// <summary>
    /// The per-user cache folder: $XDG_CACHE_HOME/localllm or ~/.cache/localllm, on Windows localllm in the local application data; the system's
    /// temporary folder where there is no home.
    /// </summary>
    public static string Root()
    {
        if (OperatingSystem.IsWindows())
            return Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "localllm");
        var xdg = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (Path.IsPathFullyQualified(xdg ?? ""))
            return Path.Combine(xdg!, "localllm");
        var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return home.Length > 0 && Directory.Exists(home)
            ? Path.Combine(home, ".cache", "localllm")
            : Path.Combine(Path.GetTempPath(), $"localllm-{Environment.UserName}");
    }

    /// <summary>
    /// Makes a folder that only its owner can open, also where it was there before, in one that others cannot write to either: code that others can write must not
    /// be loaded.
    /// </summary>
    /// <exception cref="IOException">It cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">It cannot be made, is another user's, or others could write to it until now.</exception>
    public static void CreateOwned(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder); // the user's own data is closed to others there
            return;
        }

        foreach (var path in new[] { Path.GetDirectoryName(Path.GetFullPath(folder))!, folder })
        {
            var mode = Directory.Exists(path) ? File.GetUnixFileMode(path) : UnixFileMode.None;
            // In a folder such as /tmp others can make files, but neither rename nor delete one's own.
            var isShared = path != folder && mode.HasFlag(UnixFileMode.StickyBit);
            if ((mode & OthersWrite) != 0 && !isShared)
                throw new UnauthorizedAccessException($"other users can write to '{path}', so that what lies there cannot be trusted; delete it.");
            Directory.CreateDirectory(path, OwnerOnly);
        }

        File.SetUnixFileMode(folder, OwnerOnly);
    }
}
