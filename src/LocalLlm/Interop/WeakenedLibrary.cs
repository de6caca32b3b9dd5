using System.Buffers.Binary;
using System.Runtime.Versioning;
using System.Security.Cryptography;

namespace LocalLlm.Interop;

/// <summary>
/// A private copy of a shared library in which the requirement of one symbol version is marked weak, so that the dynamic linker accepts a system
/// that lacks it. TorchSharp's library asks for GLIBCXX_3.4.32 for a symbol that it never calls. (ELF gABI, "Symbol Versioning": Elfxx_Verneed,
/// Elfxx_Vernaux, VER_FLG_WEAK.)
/// </summary>
[SupportedOSPlatform("linux")]
internal static class WeakenedLibrary
{
    public const string WeakVersion = "GLIBCXX_3.4.32";

    private static ReadOnlySpan<byte> WeakName => "GLIBCXX_3.4.32\0"u8;

    private const uint SectionTypeVerneed = 0x6ffffffe;
    private const ushort FlagWeak = 2;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>Makes the private copy, or finds it from an earlier run. A changed library gets a copy of its own.</summary>
    /// <param name="library">The library's path.</param>
    /// <param name="cacheRoot">The cache folder; where it cannot be written, a fresh private temporary folder is used.</param>
    /// <returns>The copy's path; null if the library does not need <see cref="WeakVersion"/>.</returns>
    /// <exception cref="InvalidDataException">The file is no 64-bit little-endian ELF library, or is damaged.</exception>
    public static string? Prepare(string library, string cacheRoot)
    {
        var bytes = File.ReadAllBytes(library);
        var key = Convert.ToHexStringLower(SHA256.HashData(bytes))[..16];
        if (!Weaken(bytes))
            return null;
        try
        {
            foreach (var owned in new[] { cacheRoot, Path.Combine(cacheRoot, "native"), Path.Combine(cacheRoot, "native", key) })
                Directory.CreateDirectory(owned, OwnerOnly);
            return Store(Path.Combine(cacheRoot, "native", key), Path.GetFileName(library), bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Store(Directory.CreateTempSubdirectory("localllm-").FullName, Path.GetFileName(library), bytes);
        }
    }

    private static string Store(string folder, string name, byte[] bytes)
    {
        // The folder is opened to its owner only, also where it was there before: a library that others can write must not be loaded.
        File.SetUnixFileMode(folder, OwnerOnly);
        var path = Path.Combine(folder, name);
        if (File.Exists(path) && bytes.AsSpan().SequenceEqual(File.ReadAllBytes(path)))
            return path;
        var temporary = Path.Combine(folder, $"{name}.{Environment.ProcessId}.{Guid.NewGuid():N}");
        try
        {
            using (var file = new FileStream(temporary, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnerOnly }))
                file.Write(bytes);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }

        return path;
    }

    /// <summary>Marks the requirement of <see cref="WeakVersion"/> weak in the image of an ELF library.</summary>
    /// <returns>True if the requirement was there.</returns>
    /// <exception cref="InvalidDataException">The image is no 64-bit little-endian ELF library, or is damaged.</exception>
    internal static bool Weaken(Span<byte> elf)
    {
        if (elf.Length < 64 || !elf[..4].SequenceEqual("\u007fELF"u8) || elf[4] != 2 || elf[5] != 1)
            throw new InvalidDataException("not a 64-bit little-endian ELF library");
        var found = false;
        var sections = U64(elf, 0x28);
        var (sectionBytes, sectionCount) = (U16(elf, 0x3a), U16(elf, 0x3c));
        for (var i = 0; i < sectionCount; i++)
        {
            var section = Slice(elf, sections + (ulong)i * sectionBytes, 64);
            if (U32(section, 4) != SectionTypeVerneed)
                continue;
            var strings = Slice(elf, sections + (ulong)U32(section, 0x28) * sectionBytes, 64);
            found |= WeakenNeeds(Slice(elf, U64(section, 0x18), U64(section, 0x20)), Slice(elf, U64(strings, 0x18), U64(strings, 0x20)), U32(section, 0x2c));
        }

        return found;
    }

    private static bool WeakenNeeds(Span<byte> needs, Span<byte> strings, uint libraryCount)
    {
        var found = false;
        ulong need = 0;
        for (uint library = 0; library < libraryCount; library++)
        {
            var verneed = Slice(needs, need, 16);
            var versionCount = U16(verneed, 2);
            var version = need + U32(verneed, 8);
            for (var j = 0; j < versionCount; j++)
            {
                var vernaux = Slice(needs, version, 16);
                var nameStart = U32(vernaux, 8);
                var name = Slice(strings, nameStart, (ulong)strings.Length - Math.Min(nameStart, (ulong)strings.Length));
                if (name.StartsWith(WeakName))
                {
                    BinaryPrimitives.WriteUInt16LittleEndian(vernaux[4..], (ushort)(U16(vernaux, 4) | FlagWeak));
                    found = true;
                }

                if (U32(vernaux, 12) == 0)
                    break;
                version += U32(vernaux, 12);
            }

            if (U32(verneed, 12) == 0)
                break;
            need += U32(verneed, 12);
        }

        return found;
    }

    private static Span<byte> Slice(Span<byte> span, ulong start, ulong length) =>
        start <= (ulong)span.Length && length <= (ulong)span.Length - start
            ? span.Slice((int)start, (int)length)
            : throw new InvalidDataException($"the ELF library is damaged: {length} bytes at {start} lie outside its {span.Length}");

    private static ushort U16(Span<byte> span, int at) => BinaryPrimitives.ReadUInt16LittleEndian(span[at..]);

    private static uint U32(Span<byte> span, int at) => BinaryPrimitives.ReadUInt32LittleEndian(span[at..]);

    private static ulong U64(Span<byte> span, int at) => BinaryPrimitives.ReadUInt64LittleEndian(span[at..]);
}
