namespace LocalLlm.Kernels.Cpu;

/// <summary>What a <see cref="WorkerTeam"/> runs: a reusable object that holds its own arguments, so that a run allocates nothing.</summary>
internal abstract class ParallelWork
{
    /// <summary>Runs one item. Called at once from several threads, once for every item.</summary>
    /// <param name="item">From 0 to the run's number of items, handed out in ascending order.</param>
    /// <param name="worker">Which thread runs it, from 0 (the caller) to <see cref="WorkerTeam.Threads"/> - 1: the index of its scratch memory.</param>
    public abstract void Execute(int item, int worker);
}
