namespace LocalLlm.Scheduling;

/// <summary>A running sequence as the policy sees it.</summary>
/// <param name="Priority">Its own priority; waiting adds nothing here.</param>
/// <param name="Arrival">Its number in the order of arrival.</param>
internal readonly record struct RunningRequest(int Priority, long Arrival);

/// <summary>Decides who gives up its memory, to go on later. Pure arithmetic.</summary>
internal static class PreemptionPolicy
{
    /// <summary>
    /// Who leaves when running sequences need more memory than there is: the lowest priority, among equals the latest arrival. So the oldest of the
    /// highest priority never leaves while another runs, and some sequence always comes to its end.
    /// </summary>
    /// <returns>Its index; −1 where only one runs.</returns>
    public static int Victim(ReadOnlySpan<RunningRequest> running) => running.Length < 2 ? -1 : Last(running);

    /// <summary>
    /// Who leaves for a waiting request: as above, but of a lower priority than the request has by itself. What waiting adds does not count, else two
    /// requests would take turns for ever.
    /// </summary>
    /// <returns>Its index; −1 if nobody's priority is lower.</returns>
    public static int VictimFor(int priority, ReadOnlySpan<RunningRequest> running)
    {
        var last = Last(running);
        return last >= 0 && running[last].Priority < priority ? last : -1;
    }

    private static int Last(ReadOnlySpan<RunningRequest> running)
    {
        var last = -1;
        for (var i = 0; i < running.Length; i++)
        {
            if (last < 0 || (running[i].Priority, -running[i].Arrival).CompareTo((running[last].Priority, -running[last].Arrival)) < 0)
                last = i;
        }

        return last;
    }
}
