using System.Diagnostics;
using System.Security.Cryptography;
using LocalLlm.Kernels.Cuda;

namespace LocalLlm.Tests.Kernels.Cuda;

public sealed class KernelCacheTests : IDisposable
{
    private static readonly byte[] Code = [1, 2, 3, 0, 255];

    private readonly string parent = Directory.CreateTempSubdirectory("kernel-cache-").FullName;
    private readonly List<string> warnings = [];
    private int compiled;

    private string Folder => Path.Combine(parent, "kernels");

    public void Dispose() => Directory.Delete(parent, recursive: true);

    [Fact]
    public void Get_Twice_CompilesOnceAndIsTheOwnersOnly()
    {
        Cache().Get("a", Compile).ShouldBe(Code);
        Cache().Get("a", Compile).ShouldBe(Code);
        compiled.ShouldBe(1);
        Cache().Get("b", Compile).ShouldBe(Code);
        compiled.ShouldBe(2);
        Directory.EnumerateFiles(Folder).Select(f => Path.GetFileName(f)).Order().ShouldBe(["a", "b", "lock"]);
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(Folder).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        warnings.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    [InlineData(32)]
    [InlineData(34)]
    public void Get_FileCutShort_CompilesAnew(int length)
    {
        Cache().Get("a", Compile);
        var path = Path.Combine(Folder, "a");
        File.WriteAllBytes(path, File.ReadAllBytes(path)[..length]);

        Cache().Get("a", Compile).ShouldBe(Code);
        Cache().Get("a", Compile).ShouldBe(Code);

        compiled.ShouldBe(2);
    }

    [Fact]
    public void Get_BitChanged_CompilesAnew()
    {
        Cache().Get("a", Compile);
        var path = Path.Combine(Folder, "a");
        var bytes = File.ReadAllBytes(path);
        bytes[^2] ^= 1;
        File.WriteAllBytes(path, bytes);

        Cache().Get("a", Compile).ShouldBe(Code);

        compiled.ShouldBe(2);
    }

    [Fact]
    public void Get_ManyAtTheSameTime_CompileOnce()
    {
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ => Cache().Get("a", Compile).ShouldBe(Code));

        compiled.ShouldBe(1);
        warnings.ShouldBeEmpty();
    }

    [Fact]
    public async Task Get_WhileAnotherProcessCompilesIt_TakesWhatThatWrote()
    {
        Cache().Get("other", Compile); // makes the folder
        ProcessStartInfo start = new("flock", ["lock", "sh", "-c", "echo held; cat > a"])
        {
            WorkingDirectory = Folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        Process other;
        try
        {
            other = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("needs flock");
            return;
        }

        using (other)
        {
            (await other.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldBe("held");
            var ours = Task.Run(() => Cache().Get("a", Compile), TestContext.Current.CancellationToken);
            await Task.Delay(100, TestContext.Current.CancellationToken); // ours may look by now, and may not compile
            byte[] theirs = [9, 9];
            other.StandardInput.BaseStream.Write([.. SHA256.HashData(theirs), .. theirs]);
            other.StandardInput.Close();

            (await ours).ShouldBe(theirs);
        }

        compiled.ShouldBe(1);
    }

    [Fact]
    public void Get_FolderCannotBeMade_CompilesAndWarns()
    {
        File.WriteAllText(Folder, "a file");

        Cache().Get("a", Compile).ShouldBe(Code);

        compiled.ShouldBe(1);
        warnings.ShouldHaveSingleItem().ShouldContain(Folder);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Get_OthersCanWriteToTheFolderOrTheOneAround_CompilesAndReadsNothing(bool around)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes");
            return;
        }

        Cache().Get("a", Compile);
        var open = around ? parent : Folder;
        File.SetUnixFileMode(open, File.GetUnixFileMode(open) | UnixFileMode.OtherWrite);

        Cache().Get("a", Compile).ShouldBe(Code);

        compiled.ShouldBe(2);
        warnings.ShouldHaveSingleItem().ShouldContain("delete it");
    }

    [Fact]
    public void Get_FileCannotBeWritten_CompilesAndWarns()
    {
        Directory.CreateDirectory(Path.Combine(Folder, "a")); // a folder of its name

        Cache().Get("a", Compile).ShouldBe(Code);

        warnings.ShouldHaveSingleItem().ShouldContain("every start compiles them anew");
        Directory.EnumerateFiles(Folder).Select(f => Path.GetFileName(f)).ShouldBe(["lock"]);
    }

    [Fact]
    public void Get_LockHeldTooLong_CompilesAndWarns()
    {
        Directory.CreateDirectory(Folder);
        using var held = new FileStream(Path.Combine(Folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);

        new KernelCache(Folder, warnings.Add, TimeSpan.Zero).Get("a", Compile).ShouldBe(Code);

        warnings.ShouldHaveSingleItem();
        File.Exists(Path.Combine(Folder, "a")).ShouldBeFalse();
    }

    [Fact]
    public void Get_CompilerFails_ThrowsAndLetsOthersTry()
    {
        Should.Throw<LocalLlmException>(() => Cache().Get("a", () => throw new LocalLlmException("no")));
        Cache().Get("a", Compile).ShouldBe(Code);
    }

    private KernelCache Cache() => new(Folder, warnings.Add);

    private byte[] Compile()
    {
        Interlocked.Increment(ref compiled);
        Thread.Sleep(50); // long enough for others to come meanwhile
        return Code;
    }
}
