using System.Text.Json.Nodes;
using LocalLlm;

namespace Agents.Hosting;

/// <summary>What became of the requests; from any thread.</summary>
internal sealed class RequestCounts
{
    private int _requests, _completed, _cancelled, _failed;

    /// <summary>The model that answered; null before the first request.</summary>
    public LlmModelInfo? Model { get; set; }

    public void Began() => Interlocked.Increment(ref _requests);

    public void Completed() => Interlocked.Increment(ref _completed);

    public void Cancelled() => Interlocked.Increment(ref _cancelled);

    public void Failed() => Interlocked.Increment(ref _failed);

    /// <summary>As <c>--json</c> prints them.</summary>
    public JsonObject ToJson() => new()
    {
        ["requests"] = _requests,
        ["completed"] = _completed,
        ["cancelled"] = _cancelled,
        ["failed"] = _failed,
    };
}
