namespace LocalLlm.Benchmarks;

/// <summary>Something of ours measured beside something else, in one run.</summary>
internal interface IComparison
{
    Table Run(Machine machine);
}
