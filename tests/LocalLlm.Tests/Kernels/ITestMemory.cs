namespace LocalLlm.Tests.Kernels;

/// <summary>Memory for a kernel under test.</summary>
internal interface ITestMemory : IDisposable
{
    /// <summary>The address of the first byte.</summary>
    nint Address { get; }

    /// <summary>All of it.</summary>
    Span<byte> Span { get; }
}
