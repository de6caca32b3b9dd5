namespace LocalLlm.Scheduling;

/// <summary>A waiting request as the policy sees it.</summary>
/// <param name="Priority">Its own priority.</param>
/// <param name="Arrival">Its number in the order of arrival; one that was preempted keeps it.</param>
/// <param name="Waited">For how long it has waited since it arrived or was preempted.</param>
internal readonly record struct WaitingRequest(int Priority, long Arrival, TimeSpan Waited);

/// <summary>Decides who starts next. Pure arithmetic.</summary>
internal static class AdmissionPolicy
{
    /// <summary>After this time a request counts as one priority higher, and again after as long: whoever waits is first at some time.</summary>
    public static readonly TimeSpan AgeingInterval = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The one of the highest aged priority; among equals the one that arrived first. If it does not fit, nobody else starts: a large request would
    /// otherwise wait for ever while small ones pass.
    /// </summary>
    /// <returns>Its index; −1 if nobody waits.</returns>
    public static int Next(ReadOnlySpan<WaitingRequest> waiting)
    {
        var best = -1;
        for (var i = 0; i < waiting.Length; i++)
        {
            if (best < 0 || (AgedPriority(waiting[i]), -waiting[i].Arrival).CompareTo((AgedPriority(waiting[best]), -waiting[best].Arrival)) > 0)
                best = i;
        }

        return best;
    }

    /// <summary>The priority with what waiting has added.</summary>
    public static long AgedPriority(WaitingRequest request) => request.Priority + (request.Waited.Ticks / AgeingInterval.Ticks);
}
