using LocalLlm.Evaluation.Methods;
using LocalLlm.KvCache;

namespace LocalLlm.Evaluation.AttentionStudy;

/// <summary>
/// The paper's table 2: tokens selected for full precision, and the others quantised (2 bits, 16-bit scales of the range) or dropped. A
/// selection that has both keeps the same tokens at every length.
/// </summary>
/// <param name="Method">The cache; its id is stored with the results.</param>
/// <param name="PaperError">The paper's L1 error for it, from a model and texts of its own; null if it has none.</param>
internal sealed record SelectionPair(Method Method, double? PaperError)
{
    private const int Window = 64;

    /// <summary>
    /// The rows, the first being what the others are compared with. Recent tokens are as many as LogQuant's at every length; KIVI's
    /// residual, which grows from 1 token to R, is as many on average.
    /// </summary>
    public static IReadOnlyList<SelectionPair> All { get; } =
    [
        Of("logquant-quantised", "LogQuant, quantised", KvCacheKind.LogQuant, Window, 432.5),
        Of("logquant-evicted", "LogQuant, evicted", KvCacheKind.LogEvict, Window, 1076.7),
        Of("kivi-quantised", "KIVI, quantised", KvCacheKind.Kivi, 5 * Window, 556.1),
        Of("recent-quantised", "Recent, quantised", KvCacheKind.StreamingQuant, Window, null),
        Of("recent-evicted", "Recent, evicted", KvCacheKind.StreamingLlm, Window, 1612.6),
    ];

    private static SelectionPair Of(string id, string label, KvCacheKind kind, int window, double? paperError)
    {
        var options = new KvCacheOptions
        {
            Kind = kind,
            Window = window,
            PageTokens = Window,
            SinkTokens = 0,
            SlowKeyBits = 2,
            Scales = KvScaleFormat.Half,
            ClipSearch = false,
        };
        return new(new Method(id, label, MethodFamily.Baseline, options), paperError);
    }
}
