using System.Diagnostics;
using LocalLlm.Kernels.Cpu;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace LocalLlm.Models;

/// <summary>
/// The row kernels as a model's <see cref="Linear"/> uses them, and up to how many rows they are faster than torch: torch's linear reaches a part of
/// memory's bandwidth with few rows, and has the faster arithmetic with many. For one thread at a time.
/// </summary>
internal sealed class RowKernels : IDisposable
{
    /// <summary>The row counts that are tried, up to the first where torch is faster.</summary>
    private static readonly int[] TriedRows = [1, 2, 4, 8, 12, RowMatmul.MaxRows];

    private const int Blocks = 3;

    /// <summary>Rows of a piece of a prompt, for the choice of <see cref="ForPrompts"/>.</summary>
    private const int PromptRows = 64;

    /// <summary>How much longer than torch the kernels may take for prompts.</summary>
    private const double PromptTimeRatio = 1.25;

    private static readonly TimeSpan BlockTime = TimeSpan.FromMilliseconds(4);

    private readonly RowMatmul matmul;

    /// <summary>Creates kernels that are used for as many rows as they can multiply.</summary>
    /// <param name="team">The threads.</param>
    public RowKernels(WorkerTeam team) => matmul = new RowMatmul(team);

    /// <summary>The most rows for which the kernels are used, at most <see cref="RowMatmul.MaxRows"/>; 0 for none.</summary>
    public int MaxRows { get; set; } = RowMatmul.MaxRows;

    /// <summary>
    /// True where an engine uses the kernels for the tokens of prompts too: they then cost little more than torch, and all tokens are computed alike, however they
    /// came into a conversation.
    /// </summary>
    public bool ForPrompts { get; set; }

    /// <summary>True where an engine uses the kernels for generated tokens, whose steps have few rows.</summary>
    public bool ForGenerated => MaxRows > 0;

    /// <summary>Which vectors they use.</summary>
    public SimdPath Path => matmul.Path;

    /// <summary>Times the kernels against torch on a weight of the model and uses them up to the row count where torch is faster; takes a few tenths of a second.</summary>
    /// <param name="team">The threads.</param>
    /// <param name="weight">[N, K]: a matrix that is typical for the time of a step, the larger the better.</param>
    public static RowKernels Calibrate(WorkerTeam team, Tensor weight)
    {
        using var scope = NewDisposeScope();
        using var mode = inference_mode();
        var kernels = new RowKernels(team);
        try
        {
            var layer = new Linear(weight, null, kernels);
            var inputs = ones([PromptRows, weight.shape[1]], weight.dtype);
            var maxRows = 0;
            foreach (var rows in TriedRows)
            {
                var x = inputs.narrow(0, 0, rows);
                if (!IsFaster(() => layer.Apply(x), () => linear(x, weight), 1))
                    break;
                maxRows = rows;
            }

            kernels.ForPrompts = maxRows > 0 && IsFaster(() => layer.ApplyKernels(inputs), () => linear(inputs, weight), PromptTimeRatio);
            kernels.MaxRows = maxRows;
            return kernels;
        }
        catch
        {
            kernels.Dispose();
            throw;
        }
    }

    /// <summary>y = x · Wᵀ + bias; see <see cref="RowMatmul.Multiply"/>.</summary>
    public void Multiply(NumberType element, nint x, int rows, nint w, int n, int k, nint bias, nint y) => matmul.Multiply(element, x, rows, w, n, k, bias, y);

    /// <inheritdoc/>
    public void Dispose() => matmul.Dispose();

    // By the shortest of several runs: what disturbs a run only ever makes it longer. They take turns in blocks, so that a disturbance of some length meets
    // both, and each block's first run does not count: libtorch's threads spin on for a while after their work.
    private static bool IsFaster(Func<Tensor> ours, Func<Tensor> other, double ratio)
    {
        var (shortest, shortestOther) = (TimeSpan.MaxValue, TimeSpan.MaxValue);
        for (var block = 0; block < Blocks; block++)
        {
            shortest = Shortest(ours, shortest);
            shortestOther = Shortest(other, shortestOther);
        }

        return shortest <= shortestOther * ratio;
    }

    private static TimeSpan Shortest(Func<Tensor> run, TimeSpan shortest)
    {
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < 3 || Stopwatch.GetElapsedTime(start) < BlockTime; i++)
        {
            var began = Stopwatch.GetTimestamp();
            run().Dispose();
            var time = Stopwatch.GetElapsedTime(began);
            if (i > 0 && time < shortest)
                shortest = time;
        }

        return shortest;
    }
}
