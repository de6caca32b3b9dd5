namespace LocalLlm;

/// <summary>How to load and run a model. Plain values, so that it binds from configuration.</summary>
public sealed record LlmEngineOptions
{
    /// <summary>A Hugging Face model folder: config.json, *.safetensors, tokenizer.json (or tokenizer.model), a chat template.</summary>
    public string ModelPath { get; set; } = "";

    /// <summary>The name by which the model is reported; null takes the folder's name.</summary>
    public string? ModelId { get; set; }

    /// <summary>"cpu", "cuda", "cuda:1", or "auto": the first GPU if there is one, else the CPU.</summary>
    public string Device { get; set; } = "cpu";

    /// <summary>A folder with libtorch's libraries, for instance a PyTorch installation's torch/lib; null takes the application's own package.</summary>
    public string? LibTorchPath { get; set; }

    /// <summary>The type in which weights are held and multiplied.</summary>
    public WeightType WeightType { get; set; } = WeightType.Auto;

    /// <summary>The most tokens of prompt and output together; null takes config.json's <c>max_position_embeddings</c>.</summary>
    public int? ContextTokens { get; set; }

    /// <summary>How many requests are decoded side by side; more wait in a queue.</summary>
    public int MaxSequences { get; set; } = 8;

    /// <summary>How many requests may wait beside those that run; one more ends at once with an <see cref="EngineBusyException"/>. 0 lets none wait.</summary>
    public int MaxQueuedRequests { get; set; } = 256;

    /// <summary>How long a request may wait for its start before it ends with an <see cref="EngineBusyException"/>; null for as long as it takes.</summary>
    public TimeSpan? MaxQueueTime { get; set; }

    /// <summary>The most tokens of prompts that one step takes; bounds memory and how long others wait.</summary>
    public int PrefillChunkTokens { get; set; } = 512;

    /// <summary>The form in which the model writes tool calls; null takes it from the chat template.</summary>
    public ToolCallFormat? ToolCallFormat { get; set; }

    /// <summary>The KV cache.</summary>
    public KvCacheOptions KvCache { get; set; } = new();

    /// <summary>What computes attention over the KV cache.</summary>
    public AttentionBackend AttentionBackend { get; set; } = AttentionBackend.Auto;

    /// <summary>Threads on a CPU, of libtorch and of the engine's own kernels, 1 to 1,024; null takes one for each core. libtorch has one count for all engines of a process: the last loaded sets it.</summary>
    public int? Threads { get; set; }

    /// <summary>Where the CUDA kernels' launcher comes from, for tests; null for the device's own.</summary>
    internal Func<TorchSharp.torch.Device, Kernels.Cuda.IKernelLauncher>? OpenKernels { get; set; }

    /// <summary>Everything that can be seen to be wrong before a model is loaded, an entry for each option; empty if nothing.</summary>
    public IReadOnlyList<string> Validate() => [.. EngineOptionsValidator.Errors(this)];
}

/// <summary>The type in which weights are held and multiplied.</summary>
public enum WeightType
{
    /// <summary>On a GPU bfloat16, float16 for a float16 checkpoint; on a CPU float32 for small, float32 and float16 checkpoints, else bfloat16.</summary>
    Auto,

    /// <summary>IEEE single.</summary>
    Float32,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>IEEE half.</summary>
    Float16,
}
