using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels;

/// <summary>The tests of the CPU kernels once more for every kind of processor. They are outside that namespace, so that a child does not run them.</summary>
public class InstructionSetTests
{
    [Theory]
    [InlineData("DOTNET_EnableAVX512", "Vector256")]
    [InlineData("DOTNET_EnableAVX2", "Vector128")]
    [InlineData("DOTNET_EnableHWIntrinsic", "Vector128")]
    public void KernelTests_WithInstructionsSwitchedOff_Pass(string setting, string widest) =>
        InstructionSets.RunTests("LocalLlm.Tests.Kernels.Cpu", Enum.Parse<SimdPath>(widest), (setting, "0")).ShouldBeGreaterThan(10);
}
