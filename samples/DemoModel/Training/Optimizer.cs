using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>
/// Muon (Jordan et al., 2024) for the projections: momentum, orthogonalised by five Newton-Schulz steps. AdamW for embeddings and norms.
/// Matrices of one shape are orthogonalised as one batch.
/// </summary>
internal sealed class Optimizer : IDisposable
{
    private const double Momentum = 0.95, Beta1 = 0.9, Beta2 = 0.98, Epsilon = 1e-10;
    private readonly List<string[]> _matrixGroups;
    private readonly string[] _others;
    private readonly Dictionary<string, Tensor> _weights;

    public Optimizer(Dictionary<string, Tensor> weights)
    {
        _weights = weights;
        string[] matrices = [.. weights.Keys.Where(n => n.Contains("_proj", StringComparison.Ordinal))];
        _others = [.. weights.Keys.Except(matrices)];
        _matrixGroups = [.. matrices.GroupBy(n => (weights[n].shape.Min(), weights[n].shape.Max())).Select(g => g.ToArray())];
        foreach (string name in matrices)
            State["momentum." + name] = zeros_like(weights[name]).DetachFromDisposeScope();
        foreach (string name in _others)
        {
            State["mean." + name] = zeros_like(weights[name]).DetachFromDisposeScope();
            State["square." + name] = zeros_like(weights[name]).DetachFromDisposeScope();
        }
    }

    /// <summary>Momentum and moments by name, for checkpoints.</summary>
    public Dictionary<string, Tensor> State { get; } = [];

    /// <summary>Applies the gradients and clears them. Returns the norm of AdamW's gradients before clipping.</summary>
    public double Step(int step, double muonRate, double adamRate)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        foreach (string[] group in _matrixGroups)
            StepMatrices(group, muonRate);
        double norm = Math.Sqrt(_others.Sum(n => _weights[n].grad!.square().sum().ToDouble()));
        double clip = Math.Min(1, 1 / (norm + 1e-6));
        foreach (string name in _others)
        {
            Tensor gradient = _weights[name].grad! * clip;
            Tensor mean = State["mean." + name].mul_(Beta1).add_(gradient, 1 - Beta1);
            Tensor square = State["square." + name].mul_(Beta2).addcmul_(gradient, gradient, 1 - Beta2);
            Tensor denominator = (square / (1 - Math.Pow(Beta2, step))).sqrt_().add_(Epsilon);
            _weights[name].addcdiv_(mean, denominator, -adamRate / (1 - Math.Pow(Beta1, step)));
        }

        foreach (Tensor weight in _weights.Values)
            weight.grad!.zero_();
        return norm;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in State.Values)
            tensor.Dispose();
    }

    private void StepMatrices(string[] names, double rate)
    {
        var updates = new List<Tensor>();
        foreach (string name in names)
        {
            Tensor gradient = _weights[name].grad!;
            Tensor momentum = State["momentum." + name].mul_(Momentum).add_(gradient, 1 - Momentum);
            Tensor update = gradient.lerp(momentum, Momentum);
            updates.Add(IsTall(update) ? update.t() : update);
        }

        Tensor[] orthogonal = Orthogonalise(stack(updates)).unbind(0);
        for (int i = 0; i < names.Length; i++)
        {
            Tensor weight = _weights[names[i]];
            double scale = Math.Sqrt(Math.Max(1, (double)weight.shape[0] / weight.shape[1]));
            weight.mul_(1 - rate * 0.01).add_(IsTall(weight) ? orthogonal[i].t() : orthogonal[i], -rate * scale);
        }
    }

    private static bool IsTall(Tensor matrix) => matrix.shape[0] > matrix.shape[1];

    // x: [matrices, rows, columns], rows <= columns
    private static Tensor Orthogonalise(Tensor x)
    {
        x = x / (x.square().sum([1, 2], keepdim: true).sqrt() + 1e-7);
        for (int i = 0; i < 5; i++)
        {
            Tensor gram = x.bmm(x.transpose(1, 2));
            Tensor polynomial = gram * -4.7750 + gram.bmm(gram) * 2.0315;
            x = x * 3.4445 + polynomial.bmm(x);
        }

        return x;
    }
}
