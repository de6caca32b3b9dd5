using TorchSharp;

namespace LocalLlm.Interop;

/// <summary>
/// Scalars that live as long as the process. TorchSharp makes one from every number given to an operation and does not keep it alive during
/// the native call, so that a garbage collection at the wrong moment frees it there: operations that run often take theirs from here.
/// </summary>
internal static class Scalars
{
    public static readonly Scalar Zero = 0.ToScalar();
    public static readonly Scalar One = 1.ToScalar();
    public static readonly Scalar NegativeInfinity = float.NegativeInfinity.ToScalar();
    public static readonly Scalar PositiveInfinity = float.PositiveInfinity.ToScalar();
    public static readonly Scalar LowestFloat = float.MinValue.ToScalar();
}
