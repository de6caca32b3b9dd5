using System.Runtime.InteropServices;
using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>A model's weights on its device.</summary>
internal sealed class DecoderWeights : IDisposable
{
    private readonly List<Tensor> owned;

    private DecoderWeights(List<Tensor> owned, Tensor embedding, IReadOnlyList<LayerWeights<Tensor>> layers, Tensor finalNorm, Tensor head) =>
        (this.owned, Embedding, Layers, FinalNorm, Head) = (owned, embedding, layers, finalNorm, head);

    /// <summary>[V, H].</summary>
    public Tensor Embedding { get; }

    /// <summary>The layers' weights.</summary>
    public IReadOnlyList<LayerWeights<Tensor>> Layers { get; }

    /// <summary>[H].</summary>
    public Tensor FinalNorm { get; }

    /// <summary>[V, H]: the output projection; the embedding where they are tied.</summary>
    public Tensor Head { get; }

    /// <summary>Loads all weights of a plan that has been checked; on an error or a cancellation, what was loaded is freed.</summary>
    /// <exception cref="ModelLoadException">The device has no room for them, or a value does not fit the type.</exception>
    public static DecoderWeights Load(
        WeightPlan plan, Checkpoint checkpoint, Device device, ScalarType type, IProgress<LoadProgress>? progress, CancellationToken cancellationToken)
    {
        var totalBytes = plan.Parts.Sum(p => checkpoint.Tensors[p.Name].ByteCount);
        var weightBytes = plan.Parts.Sum(p => checkpoint.Tensors[p.Name].ElementCount) * (type == ScalarType.Float32 ? 4 : 2);
        WeightRoom.Require(weightBytes, type, device);
        var loadedBytes = 0L;
        var owned = new List<Tensor>();
        progress?.Report(new LoadProgress("loading weights", 0, totalBytes));
        try
        {
            using var noGradient = no_grad();
            var embedding = LoadWeight(plan.Embedding);
            var layers = plan.Layers.Select(layer => layer.Select(LoadWeight)).ToArray();
            var finalNorm = LoadWeight(plan.FinalNorm);
            var head = plan.Head is null ? embedding : LoadWeight(plan.Head);
            return new DecoderWeights(owned, embedding, layers, finalNorm, head);
        }
        catch (Exception e)
        {
            owned.ForEach(t => t.Dispose());
            // What torch throws, out of memory first of all.
            if (e is ExternalException)
                throw new ModelLoadException(DeviceFailure(e.Message), e);
            throw;
        }

        string DeviceFailure(string cause)
        {
            return FormattableString.Invariant($"The weights could not be loaded onto {device}: as {type} they need {weightBytes / 1e9:F2} GB, and ")
                + $"{loadedBytes} of {totalBytes} bytes of the checkpoint had been read. Free memory there, or choose another "
                + $"{nameof(LlmEngineOptions.Device)} or {nameof(LlmEngineOptions.WeightType)}. torch says: {cause}";
        }

        Tensor LoadWeight(PlannedWeight weight)
        {
            var tensor = empty([.. weight.Shape], type, device).DetachFromDisposeScope();
            owned.Add(tensor);
            var row = 0L;
            foreach (var part in weight.Parts)
            {
                using var rows = tensor.narrow(0, row, part.Shape[0]);
                checkpoint.Load(part.Name, rows, bytes => progress?.Report(new LoadProgress("loading weights", loadedBytes += bytes, totalBytes)), cancellationToken);
                row += part.Shape[0];
            }

            return tensor;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => owned.ForEach(t => t.Dispose());
}
