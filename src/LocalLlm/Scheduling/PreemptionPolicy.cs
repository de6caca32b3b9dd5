namespace LocalLlm.Scheduling;

/// <summary>A running sequence as the policy sees it.</summary>
/// <param name="Priority">Its own priority; waiting adds nothing here.</param>
/// <param name="Arrival">Its number in the order of arrival.</param>
/// <param name="IsPaused">True while it can do nothing, for its reader is too far behind.</param>
internal readonly record struct RunningRequest(int Priority, long Arrival, bool IsPaused = false);

/// <summary>Decides who gives up its memory, to go on later. Pure arithmetic.</summary>
internal static class PreemptionPolicy
{
    /// <summary>
    /// Who leaves when running sequences need more memory than there is: those that wait for their readers before those that can go on, then the lowest
    /// priority, among equals the latest arrival. So of those that can go on the oldest of the highest priority never leaves while another runs, and some
    /// sequence always comes to its end.
    /// </summary>
    /// <returns>Its index; −1 where only one runs.</returns>
    public static int Victim(ReadOnlySpan<RunningRequest> running) => running.Length < 2 ? -1 : Last(running);

    /// <summary>
    /// Who leaves for a waiting request: as above, but only one that waits for its reader, or has a lower priority than the request has by itself. What waiting
    /// adds does not count, else two requests would take turns for ever.
    /// </summary>
    /// <returns>Its index; −1 if there is none.</returns>
    public static int VictimFor(int priority, ReadOnlySpan<RunningRequest> running)
    {
        var last = Last(running);
        return last >= 0 && (running[last].IsPaused || running[last].Priority < priority) ? last : -1;
    }

    private static int Last(ReadOnlySpan<RunningRequest> running)
    {
        var last = -1;
        for (var i = 0; i < running.Length; i++)
        {
            if (last < 0 || Rank(running[i]).CompareTo(Rank(running[last])) < 0)
                last = i;
        }

        return last;
    }

    private static (bool GoesOn, int Priority, long Youth) Rank(RunningRequest request) => (!request.IsPaused, request.Priority, -request.Arrival);
}
