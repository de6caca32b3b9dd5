using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.Interop;

/// <summary>The device that an option names.</summary>
internal static class TorchDevice
{
    /// <summary>What <see cref="Resolve"/> takes, for messages.</summary>
    public const string Forms = "cpu, cuda, cuda:N or auto";

    /// <summary>True for "cpu", "cuda", "cuda:N" and "auto".</summary>
    public static bool IsForm(string? name) => name is "cpu" or "cuda" or "auto" || (name is not null && TryIndex(name, out _));

    /// <summary>Finds the device; libtorch must be loaded.</summary>
    /// <exception cref="LocalLlmException">There is no such GPU.</exception>
    public static Device Resolve(string name)
    {
        if (name == "cpu")
            return CPU;
        var count = cuda.is_available() ? cuda.device_count() : 0;
        if (name == "auto")
            return count > 0 ? new Device(DeviceType.CUDA, 0) : CPU;
        var index = TryIndex(name, out var i) ? i : 0;
        if (count == 0)
            throw new LocalLlmException($"Device is '{name}', but libtorch in '{LibTorch.Folder}' sees no NVIDIA GPU. Either this libtorch is a CPU build (build with "
                + "-p:TorchBackend=cuda, or set LibTorchPath to a CUDA build's folder), or the driver is missing or too old (see nvidia-smi). "
                + "Device = auto falls back to the CPU.");
        return index < count
            ? new Device(DeviceType.CUDA, index)
            : throw new LocalLlmException($"Device is '{name}', but there are {count} GPUs: the last is 'cuda:{count - 1}'.");
    }

    private static bool TryIndex(string name, out int index)
    {
        index = 0;
        return name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out index);
    }
}
