using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Benchmarks.Comparisons;

/// <summary>A few rows times the weight matrices of Llama-3.2-1B, against torch's linear and against reading the weights once.</summary>
internal sealed class LinearComparison(int[] rowCounts, int rounds, ScalarType type) : IComparison
{
    private static readonly (string Name, int Outputs, int Inputs)[] Matrices =
        [("qkv", 3072, 2048), ("output", 2048, 2048), ("gate and up", 16384, 2048), ("down", 2048, 8192), ("head", 128256, 2048)];

    public static LinearComparison Parse(Arguments arguments)
    {
        var type = arguments.Text("type") switch
        {
            null or "bf16" => ScalarType.BFloat16,
            "f16" => ScalarType.Float16,
            "f32" => ScalarType.Float32,
            var other => throw new ArgumentException($"--type is one of bf16, f16, f32, got '{other}'."),
        };
        return new(arguments.Numbers("rows", [1], most: RowMatmul.MaxRows), arguments.Number("rounds", 8), type);
    }

    public Table Run(Machine machine)
    {
        var table = new Table($"rows times a weight matrix, {type}: {machine.Description}");
        using var mode = inference_mode();
        using var kernels = new RowMatmul(machine.Team);
        foreach (var rows in rowCounts)
        {
            foreach (var (name, outputs, inputs) in Matrices)
                table.Add([("matrix", name), .. Measure(machine, kernels, rows, outputs, inputs)]);
        }

        return table;
    }

    private (string Name, object? Value)[] Measure(Machine machine, RowMatmul kernels, int rows, int outputs, int inputs)
    {
        using var scope = NewDisposeScope();
        using var x = randn(rows, inputs).to(type);
        using var weights = new Layers<Matrix>(() => new Matrix(outputs, inputs, type, kernels), m => m.Bytes);
        var times = Machine.Measure(
            rounds, () => weights.Next().Ours.Apply(x).Dispose(), () => weights.Next().Torch.Apply(x).Dispose(), () => Read(weights.Next()));
        var (ours, torch, read) = (times[0], times[1], times[2]);
        return
        [
            ("shape", $"{outputs}x{inputs}"), ("rows", rows), ("ours_ms", ours), ("torch_ms", torch), ("read_ms", read), ("ratio_torch", torch / ours),
            ("read_to_ours", read / ours), ("ours_gb_per_s", weights.Next().Bytes / ours / 1e6),
        ];

        void Read(Matrix matrix) => machine.Read(matrix.Address, matrix.Bytes);
    }

    private sealed class Matrix : IDisposable
    {
        private readonly Tensor weight;

        public Matrix(int outputs, int inputs, ScalarType type, RowMatmul kernels)
        {
            weight = randn(outputs, inputs).to(type).DetachFromDisposeScope();
            (Ours, Torch) = (new Linear(weight, null, kernels), new Linear(weight, null, null));
        }

        public Linear Ours { get; }

        public Linear Torch { get; }

        public nint Address => TensorMemory.Address(weight);

        public long Bytes => weight.NumberOfElements * weight.ElementSize;

        public void Dispose() => weight.Dispose();
    }
}
