using System.Runtime.Versioning;
using System.Text;
using LocalLlm.Interop;

namespace LocalLlm.Tests.Interop;

[SupportedOSPlatform("linux")]
public sealed class WeakenedLibraryTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("weakened-").FullName;

    public WeakenedLibraryTests() => Assert.SkipUnless(OperatingSystem.IsLinux(), "ELF libraries are Linux's");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Weaken_Requirement_GetsTheWeakFlagAndNothingElseChanges()
    {
        var (elf, flagAt) = Elf(WeakenedLibrary.WeakVersion);
        var before = elf.ToArray();

        WeakenedLibrary.Weaken(elf).ShouldBeTrue();

        elf[flagAt].ShouldBe((byte)2);
        elf[flagAt] = 0;
        elf.ShouldBe(before);
    }

    [Fact]
    public void Weaken_OtherVersion_ChangesNothing()
    {
        var (elf, _) = Elf("GLIBCXX_3.4.33");
        WeakenedLibrary.Weaken(elf).ShouldBeFalse();
    }

    [Fact]
    public void Weaken_AnyDamagedByteOrLength_NeverReadsOutside()
    {
        var (elf, _) = Elf(WeakenedLibrary.WeakVersion);
        for (var at = 0; at < elf.Length; at++)
        {
            foreach (var value in new byte[] { 0, 1, 0x7f, 0xff })
            {
                var damaged = elf.ToArray();
                damaged[at] = value;
                Attempt(damaged);
            }

            Attempt(elf[..at]);
        }

        static void Attempt(byte[] bytes)
        {
            try
            {
                WeakenedLibrary.Weaken(bytes);
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void Prepare_Twice_KeepsOnePrivateCopy()
    {
        var library = Write("lib.so", Elf(WeakenedLibrary.WeakVersion).Bytes);

        var copy = WeakenedLibrary.Prepare(library, Path.Combine(folder, "cache")).ShouldNotBeNull();
        var written = File.GetLastWriteTimeUtc(copy);
        WeakenedLibrary.Prepare(library, Path.Combine(folder, "cache")).ShouldBe(copy);

        File.GetLastWriteTimeUtc(copy).ShouldBe(written);
        Directory.GetFiles(Path.GetDirectoryName(copy)!).ShouldBe([copy]);
        for (var at = Path.GetDirectoryName(copy)!; at != folder; at = Path.GetDirectoryName(at)!)
            File.GetUnixFileMode(at).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, at);
    }

    [Fact]
    public void Prepare_ChangedLibraryOrDamagedCopy_IsMadeAnew()
    {
        var (elf, flagAt) = Elf(WeakenedLibrary.WeakVersion);
        var library = Write("lib.so", elf);
        var copy = WeakenedLibrary.Prepare(library, folder)!;
        File.WriteAllBytes(copy, [1, 2, 3]);

        WeakenedLibrary.Prepare(library, folder).ShouldBe(copy);
        File.ReadAllBytes(copy)[flagAt].ShouldBe((byte)2);

        elf[^1] = 42;
        WeakenedLibrary.Prepare(Write("lib.so", elf), folder).ShouldNotBe(copy);
    }

    [Fact]
    public void Prepare_NoSuchRequirement_IsNull() => WeakenedLibrary.Prepare(Write("lib.so", Elf("GLIBC_2.34").Bytes), folder).ShouldBeNull();

    private string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(Path.Combine(folder, name), bytes);
        return Path.Combine(folder, name);
    }

    /// <summary>The smallest ELF image with one needed version: header, strings, one Verneed with one Vernaux, two section headers.</summary>
    private static (byte[] Bytes, int FlagAt) Elf(string version)
    {
        var strings = Encoding.ASCII.GetBytes($"\0libstdc++.so.6\0{version}\0");
        const int stringsAt = 64;
        var needsAt = stringsAt + strings.Length;
        var sectionsAt = needsAt + 32;
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write([0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1, .. new byte[9]]);
        writer.Write([.. new byte[24]]);
        writer.Write((ulong)sectionsAt); // e_shoff at 0x28
        writer.Write([.. new byte[10]]);
        writer.Write((ushort)64); // e_shentsize at 0x3a
        writer.Write((ushort)2);
        writer.Write((ushort)0);
        writer.Write(strings);
        writer.Write((ushort)1); // Verneed: version, count, file, first aux, next
        writer.Write((ushort)1);
        writer.Write(1u);
        writer.Write(16u);
        writer.Write(0u);
        writer.Write(0u); // Vernaux: hash, flags, other, name, next
        writer.Write((ushort)0);
        writer.Write((ushort)2);
        writer.Write(16u);
        writer.Write(0u);
        Section(3, stringsAt, strings.Length, 0, 0);
        Section(0x6ffffffe, needsAt, 32, 0, 1);
        writer.Write(new byte[4]);
        return (stream.ToArray(), needsAt + 16 + 4);

        void Section(uint type, int offset, int size, uint link, uint info)
        {
            writer.Write(0u);
            writer.Write(type);
            writer.Write(new byte[16]);
            writer.Write((ulong)offset);
            writer.Write((ulong)size);
            writer.Write(link);
            writer.Write(info);
            writer.Write(new byte[16]);
        }
    }
}
