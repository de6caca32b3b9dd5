using LocalLlm.Tests.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>Pages by the kernel of a clang, interpreted.</summary>
public class ClangQuantisePageTests : QuantisePageCases
{
    private protected override IKernelDevice Device { get; } = Interpret(PtxModules.Clang);

    internal static LaunchedDevice Interpret(PtxModules modules) => new(new PtxLauncher(modules), bytes => new GuardedMemory(bytes), () => { });
}

/// <summary>Pages by the kernel of an older clang, interpreted.</summary>
public class OlderClangQuantisePageTests : QuantisePageCases
{
    private protected override IKernelDevice Device { get; } = ClangQuantisePageTests.Interpret(PtxModules.OlderClang);
}

/// <summary>Pages by the kernel of NVRTC, interpreted.</summary>
public class NvrtcQuantisePageTests : QuantisePageCases
{
    private protected override IKernelDevice Device { get; } = ClangQuantisePageTests.Interpret(PtxModules.Nvrtc);
}
