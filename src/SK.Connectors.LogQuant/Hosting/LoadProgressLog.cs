using LocalLlm;
using Microsoft.Extensions.Logging;

namespace SK.Connectors.LogQuant.Hosting;

/// <summary>Remembers how far a load has come and logs it: at every tenth of the way, and no more.</summary>
internal sealed class LoadProgressLog(string modelId, ILogger logger) : IProgress<LoadProgress>
{
    private const int StepPercent = 10;

    private int _logged = -1;

    /// <summary>The last report; null before the first.</summary>
    public LoadProgress? Latest { get; private set; }

    public void Report(LoadProgress value)
    {
        Latest = value;
        var percent = Percent(value);
        var step = percent / StepPercent;
        // Reports come from one thread at a time; a second load of the same engine starts again.
        if (value.BytesLoaded == 0)
            _logged = -1;
        if (step <= _logged)
            return;
        _logged = step;
        HostingLog.LoadProgress(logger, modelId, percent, value.BytesTotal / 1_000_000, value.Stage);
    }

    public static int Percent(LoadProgress value) => value.BytesTotal > 0 ? (int)(100 * (double)value.BytesLoaded / value.BytesTotal) : 0;
}
