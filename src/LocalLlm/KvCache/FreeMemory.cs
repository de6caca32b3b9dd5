using LocalLlm.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm.KvCache;

/// <summary>How much memory a budget is.</summary>
internal static class FreeMemory
{
    /// <summary>The share that is taken on a CPU where no budget is set: weights are loaded, but the process and others have more to do.</summary>
    public const double DefaultCpuShare = 0.4;

    /// <summary>The share that is taken on a GPU where no budget is set: a step's own tensors need the rest.</summary>
    public const double DefaultGpuShare = 0.8;

    /// <summary>The bytes of a budget.</summary>
    /// <param name="budget">Null for the default share.</param>
    /// <param name="device">Where the caches will be.</param>
    /// <exception cref="LocalLlmException">A share is wanted and the driver does not say what is free.</exception>
    public static long Resolve(MemoryBudget? budget, Device device) => budget?.Bytes ?? Resolve(budget, device.type == DeviceType.CPU, () => BytesOf(device));

    /// <summary>The bytes of a budget.</summary>
    /// <param name="budget">Null for the default share.</param>
    /// <param name="isCpu">Whose default share.</param>
    /// <param name="freeBytes">What is free; asked only where that matters.</param>
    public static long Resolve(MemoryBudget? budget, bool isCpu, Func<long> freeBytes) =>
        budget?.Bytes ?? (long)(freeBytes() * (budget?.Share ?? (isCpu ? DefaultCpuShare : DefaultGpuShare)));

    /// <summary>Bytes that are free on a device now.</summary>
    public static long BytesOf(Device device) => device.type == DeviceType.CPU ? HostBytes() : CudaDriver.FreeBytes(Math.Max(0, device.index));

    // The limit of a container is the runtime's total, and what the process holds is taken off it; the machine's own count is lower where others
    // use it too.
    private static long HostBytes()
    {
        var info = GC.GetGCMemoryInfo();
        var left = info.TotalAvailableMemoryBytes - Environment.WorkingSet;
        if (OperatingSystem.IsLinux() && AvailableKiB("/proc/meminfo") is { } available)
            return Math.Max(0, Math.Min(left, available * 1024));
        return Math.Max(0, Math.Min(left, info.TotalAvailableMemoryBytes - info.MemoryLoadBytes));
    }

    private static long? AvailableKiB(string path)
    {
        try
        {
            var line = File.ReadLines(path).FirstOrDefault(l => l.StartsWith("MemAvailable:", StringComparison.Ordinal));
            return line is not null && long.TryParse(line["MemAvailable:".Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), out var kib) ? kib : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // the runtime's count is left
        }
    }
}
