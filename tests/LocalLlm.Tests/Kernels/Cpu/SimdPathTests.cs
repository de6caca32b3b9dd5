using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cpu;

public class SimdPathTests
{
    [Fact]
    public void Best_Always_IsSupported() => SimdPaths.Supported.ShouldContain(SimdPaths.Best);

    [Fact]
    public void Best_InAChildWithInstructionsSwitchedOff_IsThePathThatIsLeft()
    {
        // In the first process there is nothing to compare with; in a child this fails if a setting's name does nothing.
        if (InstructionSets.IsChild)
            SimdPaths.Best.ToString().ShouldBe(Environment.GetEnvironmentVariable(InstructionSets.PathVariable));
    }

    [Fact]
    public void Construct_UnsupportedPath_IsRefused()
    {
        using var team = new WorkerTeam(1);
        foreach (var path in Enum.GetValues<SimdPath>().Where(p => !SimdPaths.IsSupported(p)))
            Should.Throw<NotSupportedException>(() => new RowMatmul(team, path)).Message.ShouldContain(path.ToString());
    }
}
