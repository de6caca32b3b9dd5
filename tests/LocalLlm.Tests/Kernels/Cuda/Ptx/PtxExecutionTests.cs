namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>The kernels by a clang.</summary>
public class ClangPtxTests : PtxExecutionCases
{
    private protected override PtxModules Modules => PtxModules.Clang;
}

/// <summary>The kernels by NVRTC, as on a GPU.</summary>
public class NvrtcPtxTests : PtxExecutionCases
{
    private protected override PtxModules Modules => PtxModules.Nvrtc;
}
