using System.Runtime.InteropServices;
using LocalLlm.Attention;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Kernels.Cuda;
using LocalLlm.KvCache;
using TorchSharp;
using static TorchSharp.torch;

namespace LocalLlm;

/// <summary>The attention backend of an engine, and what its caches need to fit it.</summary>
/// <param name="Backend">The backend.</param>
/// <param name="UsesCpuKernels">Whether the caches write by the CPU kernels.</param>
/// <param name="Queue">Where the caches give their work to the CUDA kernels; null for the others.</param>
/// <param name="Description">What it is, for the log.</param>
/// <param name="Warning">Why it is not what it could be; null where it is.</param>
internal sealed record AttentionSetup(
    IAttentionBackend Backend, bool UsesCpuKernels, CudaQueue? Queue, string Description, string? Warning = null) : IDisposable
{
    /// <summary>Makes the backend that the options ask for.</summary>
    /// <param name="options">The options, which are valid.</param>
    /// <param name="shape">Of the model's caches, on the model's device.</param>
    /// <param name="queryHeads">The query heads of a layer.</param>
    /// <param name="team">The threads of the CPU kernels; null on a GPU. Borrowed.</param>
    /// <param name="warn">Told of what costs time only, when the CUDA kernels are compiled; null for nobody.</param>
    /// <exception cref="LocalLlmException">The CUDA kernels are asked for by name and cannot be had, or nothing runs on the GPU any more.</exception>
    public static AttentionSetup Create(LlmEngineOptions options, KvShape shape, int queryHeads, WorkerTeam? team, Action<string>? warn = null)
    {
        var device = shape.Device;
        var asked = options.AttentionBackend;
        string? warning = null;
        if (asked == AttentionBackend.Cuda || (asked == AttentionBackend.Auto && device.type == DeviceType.CUDA))
        {
            try
            {
                var queue = OpenQueue(options.OpenKernels ?? Open);
                return new AttentionSetup(new CudaAttention(queue), false, queue, "CUDA kernels");
            }
            catch (LocalLlmException e) when (asked == AttentionBackend.Cuda)
            {
                throw new LocalLlmException($"AttentionBackend is Cuda, but the CUDA kernels cannot be used on '{device}': {e.Message} "
                    + "AttentionBackend = Auto takes torch operations instead.", e);
            }
            catch (LocalLlmException e)
            {
                RequireUsable(device, e);
                warning = $"The CUDA kernels cannot be used, so attention is slower: {e.Message}";
            }
        }

        return team is not null && asked != AttentionBackend.Torch
            ? new AttentionSetup(new CpuAttention(team), true, null, $"CPU kernels, {AttentionKernel.Best.Path}")
            : new AttentionSetup(new TorchAttention(), false, null, "torch operations", warning);

        CudaQueue OpenQueue(Func<Device, IKernelLauncher> open)
        {
            var queue = new CudaQueue(open(device), device);
            try
            {
                KernelTrial.Run(queue, options.KvCache, shape, queryHeads);
                return queue;
            }
            catch (Exception e)
            {
                queue.Dispose();
                if (e is not ExternalException)
                    throw;
                throw new LocalLlmException($"an operation on the GPU failed: {e.Message}", e); // what torch throws of CUDA
            }
        }

        IKernelLauncher Open(Device gpu) => gpu.type == DeviceType.CUDA
            ? CudaLauncher.Open(Math.Max(0, gpu.index), warn ?? (_ => { }))
            : throw new LocalLlmException($"'{gpu}' is no CUDA device.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        (Backend as IDisposable)?.Dispose();
        Queue?.Dispose();
    }

    // After an error on the GPU itself nothing runs in the process any more, torch's operations neither.
    private static void RequireUsable(Device device, LocalLlmException cause)
    {
        if (!cuda.is_available())
            return;
        try
        {
            using var one = ones(1, device: device);
            _ = one.cpu();
        }
        catch (ExternalException)
        {
            throw new LocalLlmException($"The CUDA kernels cannot be used, and their trial left the GPU unusable for this process: {cause.Message} "
                + "Start it anew with AttentionBackend = Torch.", cause);
        }
    }
}
