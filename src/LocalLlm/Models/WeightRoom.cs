using LocalLlm.KvCache;
using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Models;

/// <summary>Whether a GPU has room for a model's weights, known before gigabytes are read.</summary>
internal static class WeightRoom
{
    private static readonly HashSet<int> Used = [];

    /// <summary>Checks the room on a device, as far as it can be known.</summary>
    /// <param name="weightBytes">Bytes of the weights as <paramref name="type"/>.</param>
    /// <param name="type">Their type on the device.</param>
    /// <param name="device">Where they go. A CPU is not asked: what is free there is what the system makes it.</param>
    /// <exception cref="ModelLoadException">There is none.</exception>
    public static void Require(long weightBytes, ScalarType type, Device device)
    {
        if (device.type == TorchSharp.DeviceType.CPU)
            return;
        lock (Used)
        {
            // torch keeps memory that was freed for itself, and TorchSharp cannot tell how much: what the driver calls free says all only at a
            // process's first load.
            if (!Used.Add(device.index))
                return;
        }

        long freeBytes;
        try
        {
            freeBytes = FreeMemory.BytesOf(device);
        }
        catch (LocalLlmException)
        {
            return; // the load itself will tell
        }

        Check(weightBytes, freeBytes, type, device.ToString());
    }

    /// <summary>Compares two numbers of bytes.</summary>
    /// <exception cref="ModelLoadException">There are fewer free ones.</exception>
    public static void Check(long weightBytes, long freeBytes, ScalarType type, string device)
    {
        if (weightBytes <= freeBytes)
            return;
        var narrower = type == ScalarType.Float32 ? $"{nameof(LlmEngineOptions.WeightType)} {nameof(WeightType.BFloat16)}, which takes half, " : "";
        throw new ModelLoadException(FormattableString.Invariant($"The weights do not fit onto {device}: as {type} they take ")
            + FormattableString.Invariant($"{weightBytes / 1e9:F2} GB ({weightBytes:N0} bytes), and {freeBytes / 1e9:F2} GB ")
            + FormattableString.Invariant($"({freeBytes:N0} bytes) are free. Free memory there (nvidia-smi shows who holds it), or ")
            + $"choose {narrower}a smaller model or another {nameof(LlmEngineOptions.Device)}.");
    }
}
