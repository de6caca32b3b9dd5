using static LocalLlm.Loading.LoadErrors;
using static TorchSharp.torch;

namespace LocalLlm.Loading;

/// <summary>A model's weights on disk: one safetensors file, or several with an index that says which tensor lies where.</summary>
internal sealed class Checkpoint : IDisposable
{
    /// <summary>The file of a checkpoint in one piece.</summary>
    public const string SingleFileName = "model.safetensors";

    /// <summary>The index of a checkpoint in several pieces.</summary>
    public const string IndexFileName = "model.safetensors.index.json";

    // A tensor passes through the host in pieces, so that converting it or sending it to a device never doubles the memory it takes.
    private const long ChunkBytes = 64L << 20;

    private readonly List<SafetensorsFile> files = [];
    private readonly Dictionary<string, (SafetensorsFile File, StoredTensor Tensor)> tensors = [];

    private Checkpoint()
    {
    }

    /// <summary>All tensors by name.</summary>
    public IReadOnlyDictionary<string, StoredTensor> Tensors { get; private set; } = new Dictionary<string, StoredTensor>();

    /// <summary>Opens and checks the files of a model folder.</summary>
    /// <returns>The checkpoint; null if <paramref name="errors"/> got entries about it.</returns>
    public static Checkpoint? Open(string folder, LoadErrors errors)
    {
        var own = new LoadErrors();
        var checkpoint = new Checkpoint();
        try
        {
            // The order in which Hugging Face looks for them.
            if (File.Exists(Path.Combine(folder, SingleFileName)))
                checkpoint.AddFile(Path.Combine(folder, SingleFileName), own);
            else if (File.Exists(Path.Combine(folder, IndexFileName)))
                checkpoint.AddIndexed(folder, own);
            else
                own.Add($"{SingleFileName} or {IndexFileName} is missing.{Hint(folder)}");
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }

        checkpoint.Tensors = checkpoint.tensors.ToDictionary(t => t.Key, t => t.Value.Tensor);
        if (!own.Any)
            return checkpoint;
        checkpoint.Dispose();
        errors.Add(own);
        return null;
    }

    /// <summary>Copies a tensor, converting it to the type and device of its destination, piece by piece.</summary>
    /// <param name="name">One of <see cref="Tensors"/>, of a type that weights may have.</param>
    /// <param name="destination">Contiguous, of as many elements as the tensor.</param>
    /// <param name="onBytesRead">Told the bytes of each piece.</param>
    /// <param name="cancellationToken">Ends the copy between two pieces.</param>
    public void Load(string name, Tensor destination, Action<long> onBytesRead, CancellationToken cancellationToken)
    {
        var (file, tensor) = tensors[name];
        var type = tensor.Type ?? throw new ArgumentException($"The tensor {name} is of type {tensor.TypeName}, which no weight has.", nameof(name));
        if (!destination.is_contiguous() || destination.NumberOfElements != tensor.ElementCount)
            throw new ArgumentException($"The tensor {name} has {tensor.ElementCount} elements; the destination is not contiguous or has another number.", nameof(destination));

        using var scope = NewDisposeScope();
        var elementBytes = tensor.ByteCount / Math.Max(tensor.ElementCount, 1);
        var chunkElements = Math.Min(tensor.ElementCount, ChunkBytes / Math.Max(elementBytes, 1));
        var flat = destination.view(-1);
        var isDirect = destination.dtype == type && destination.device_type == TorchSharp.DeviceType.CPU;
        var staging = isDirect ? null : empty(chunkElements, type, CPU);
        for (var start = 0L; start < tensor.ElementCount; start += chunkElements)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = Math.Min(chunkElements, tensor.ElementCount - start);
            using var chunk = flat.narrow(0, start, count);
            if (staging is null)
            {
                file.Read(tensor, start * elementBytes, chunk.bytes);
            }
            else
            {
                using var piece = staging.narrow(0, 0, count);
                file.Read(tensor, start * elementBytes, piece.bytes);
                chunk.copy_(piece);
                if (destination.dtype == ScalarType.Float16 && !IsFinite(chunk))
                    throw new ModelLoadException($"The tensor {name} is stored as {tensor.TypeName} and has values beyond float16's range of ±65,504; "
                        + $"choose {nameof(LlmEngineOptions.WeightType)} {nameof(WeightType.BFloat16)} or {nameof(WeightType.Float32)}.");
            }

            onBytesRead(count * elementBytes);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => files.ForEach(f => f.Dispose());

    private static bool IsFinite(Tensor values)
    {
        using var all = values.isfinite().all().cpu();
        return all.bytes[0] != 0;
    }

    private static string Hint(string folder)
    {
        var names = Directory.EnumerateFiles(folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal).ToArray();
        if (names.FirstOrDefault(n => n.EndsWith(".safetensors", StringComparison.Ordinal)) is { } part)
            return $" There is {Quote(part)}: if it is one part of several, the index is missing; else name it {SingleFileName}.";
        return names.FirstOrDefault(n => n.EndsWith(".bin", StringComparison.Ordinal) || n.EndsWith(".gguf", StringComparison.Ordinal)) is { } other
            ? $" There is {Quote(other)}: only safetensors files are read; convert it."
            : "";
    }

    private SafetensorsFile? AddFile(string path, LoadErrors errors)
    {
        if (SafetensorsFile.Open(path, errors) is not { } file)
            return null;
        files.Add(file);
        foreach (var (name, tensor) in file.Tensors)
        {
            if (!tensors.TryAdd(name, (file, tensor)))
                errors.Add($"{Path.GetFileName(path)}: tensor {Quote(name)} is in {Path.GetFileName(tensors[name].File.Path)} as well.");
        }

        return file;
    }

    private void AddIndexed(string folder, LoadErrors errors)
    {
        if (JsonFields.Read(Path.Combine(folder, IndexFileName), errors)?.TextMap("weight_map") is not { } weightMap)
        {
            if (!errors.Any)
                errors.Add($"{IndexFileName}: weight_map is missing.");
            return;
        }

        if (weightMap.Count == 0)
            errors.Add($"{IndexFileName}: weight_map is empty.");
        foreach (var group in weightMap.GroupBy(entry => entry.Value, entry => entry.Key).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            if (!IsInside(folder, group.Key, out var path))
            {
                errors.Add($"{IndexFileName}: weight_map names {Quote(group.Key)}, which is not a file of the model folder.");
                continue;
            }

            if (!File.Exists(path))
            {
                errors.Add($"{group.Key} is missing; {IndexFileName} expects {group.Count()} tensors in it.");
                continue;
            }

            if (AddFile(path, errors) is not { } file)
                continue;
            foreach (var name in group.Where(name => !file.Tensors.ContainsKey(name)))
                errors.Add($"{group.Key}: tensor {Quote(name)} is missing; {IndexFileName} expects it there.");
            foreach (var name in file.Tensors.Keys.Where(name => !weightMap.ContainsKey(name)))
                errors.Add($"{group.Key}: tensor {Quote(name)} is not in {IndexFileName}.");
        }
    }

    // By its name alone: the file itself may be a link to elsewhere, as in Hugging Face's own download cache.
    private static bool IsInside(string folder, string name, out string path)
    {
        path = "";
        if (name.Length == 0 || name.Contains('\0', StringComparison.Ordinal) || Path.IsPathRooted(name))
            return false;
        var root = Path.GetFullPath(folder + Path.DirectorySeparatorChar);
        path = Path.GetFullPath(Path.Combine(root, name));
        return path.StartsWith(root, StringComparison.Ordinal) && path.Length > root.Length;
    }
}
