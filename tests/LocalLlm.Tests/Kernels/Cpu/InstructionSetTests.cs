using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace LocalLlm.Tests.Kernels.Cpu;

/// <summary>Kernel tests once more, in processes without some of the processor's instructions: so the paths for lesser processors run too.</summary>
public class InstructionSetTests
{
    [Theory]
    [InlineData("DOTNET_EnableAVX512")]
    [InlineData("DOTNET_EnableAVX2")]
    [InlineData("DOTNET_EnableHWIntrinsic")]
    public async Task PageQuantizer_WithoutAnInstructionSet_GivesTheSameBytes(string setting)
    {
        string[] tests =
        [
            $"{typeof(InstructionSetTests).FullName}.{nameof(Probe_InstructionSetSwitchedOff_IsNotThere)}",
            $"{typeof(PageQuantizerTests).FullName}.{nameof(PageQuantizerTests.TryQuantize_FewLayouts_EqualsTheScalarCodecBitForBit)}",
            $"{typeof(HalfLanesTests).FullName}.{nameof(HalfLanesTests.ToSingle_AllHalves_EqualTheConversion)}",
        ];
        var start = new ProcessStartInfo("dotnet", [typeof(InstructionSetTests).Assembly.Location, .. tests.SelectMany(t => new[] { "-method", t })])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[setting] = "0";

        using var process = Process.Start(start).ShouldNotBeNull();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        process.ExitCode.ShouldBe(0, await output + await errors);
        (await output).ShouldMatch("Total: 4,"); // the probe, two cases, the halves
        (await output).ShouldMatch("Skipped: 0,");
    }

    /// <summary>That the switch still has its name; skipped in a process that switches nothing off.</summary>
    [Fact]
    public void Probe_InstructionSetSwitchedOff_IsNotThere()
    {
        var hardware = new Dictionary<string, bool>
        {
            ["DOTNET_EnableAVX512"] = Vector512.IsHardwareAccelerated,
            ["DOTNET_EnableAVX2"] = Vector256.IsHardwareAccelerated,
            ["DOTNET_EnableHWIntrinsic"] = Vector128.IsHardwareAccelerated,
        };
        var off = hardware.Where(h => Environment.GetEnvironmentVariable(h.Key) == "0").ToList();
        Assert.SkipWhen(off.Count == 0, "for processes with an instruction set switched off");

        off.ShouldAllBe(h => !h.Value);
    }
}
