using LocalLlm.Sampling.Constraints.Machines;

namespace LocalLlm.Sampling.Constraints.Matching;

/// <summary>One way to read the text so far: a terminal under way and what comes after it.</summary>
internal readonly record struct Configuration(ByteMachine Machine, int State, Frame? Frame) : IComparable<Configuration>
{
    public int CompareTo(Configuration other)
    {
        var order = Machine.Id.CompareTo(other.Machine.Id);
        if (order == 0)
            order = State.CompareTo(other.State);
        return order != 0 ? order : (Frame?.Id ?? -1).CompareTo(other.Frame?.Id ?? -1);
    }
}
