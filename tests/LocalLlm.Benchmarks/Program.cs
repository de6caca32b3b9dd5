using System.Diagnostics;
using System.Runtime.InteropServices;
using LocalLlm.Interop;
using LocalLlm.Kernels.Cpu;
using TorchSharp;
using static TorchSharp.torch;

unsafe
{
    static double Best(int tries, Action a) { a(); var best = double.MaxValue; for (var i = 0; i < tries; i++) { var s = Stopwatch.GetTimestamp(); a(); best = Math.Min(best, Stopwatch.GetElapsedTime(s).TotalMilliseconds); } return best; }
    if (args.Contains("dot"))
    {
        const int d = 128, p = 64;
        var lanes = (uint*)NativeMemory.AlignedAlloc(4096 * 16, 64);
        new Random(1).NextBytes(new Span<byte>(lanes, 4096 * 16));
        var coef = (float*)NativeMemory.AlignedAlloc(4 * 128 * 4, 64);
        for (var i = 0; i < 512; i++) coef[i] = i * 0.01f;
        var sums = (float*)NativeMemory.AlignedAlloc(4 * 128 * 4, 64);
        new Span<float>(sums, 512).Clear();
        foreach (var (name, f) in new (string, Action)[] {
            ("512", () => { for (var i = 0; i < 10000; i++) CodePlanes.Add<Lanes512>(lanes, p, d / 16, 2, 1, coef, 128, sums, 128, 4, 0, p); }),
            ("256", () => { for (var i = 0; i < 10000; i++) CodePlanes.Add<Lanes256>(lanes, p, d / 16, 2, 1, coef, 128, sums, 128, 4, 0, p); }),
            ("128", () => { for (var i = 0; i < 10000; i++) CodePlanes.Add<Lanes128>(lanes, p, d / 16, 2, 1, coef, 128, sums, 128, 4, 0, p); }),
            ("512 1 query", () => { for (var i = 0; i < 10000; i++) CodePlanes.Add<Lanes512>(lanes, p, d / 16, 2, 1, coef, 128, sums, 128, 1, 0, p); }),
        })
        {
            var ms = Best(20, f);
            Console.WriteLine($"{name}: {ms / 10000 * 1e6:F0} ns per key tile of 4 heads, {4.0 * d * p * 10000 / ms / 1e6:F1} GMAC/s");
        }
    }
    if (args.Contains("attn"))
    {
        using var team = new WorkerTeam(2);
        foreach (var kernel in AttentionKernel.Supported.Take(args.Contains("best") ? 1 : 9))
        foreach (var (d, t, n) in args.Contains("one") ? [(128, 16384, 1)] : new[] { (128, 4096, 1), (128, 16384, 1), (128, 65536, 1), (64, 16384, 1), (128, 16384, 64) })
        {
            using var work = new AttentionWork(team, kernel);
            var layout = new LocalLlm.Quantization.PageLayout(64, d);
            var pages = t / 64;
            var codes = (byte*)NativeMemory.AlignedAlloc((nuint)(pages * 8 * layout.CodeBytes), 64); new Random(1).NextBytes(new Span<byte>(codes, pages * 8 * layout.CodeBytes));
            var scales = (byte*)NativeMemory.AlignedAlloc((nuint)(pages * 8 * layout.ScaleBytes), 64); new Span<byte>(scales, pages * 8 * layout.ScaleBytes).Fill(0x50);
            var q = (ushort*)NativeMemory.AlignedAlloc((nuint)(n * 32 * d * 2), 64); for (var i = 0; i < n * 32 * d; i++) q[i] = 0x3c00;
            var o = (ushort*)NativeMemory.AlignedAlloc((nuint)(n * 32 * d * 2), 64);
            var run = new KvRun { TileTokens = 64, Tokens = t,
                Keys = new KvSource { IsPacked = true, Data = (nint)codes, HeadBytes = layout.CodeBytes, StepBytes = 8 * layout.CodeBytes, Scales = (nint)scales, ScaleHeadBytes = layout.ScaleBytes, ScaleStepBytes = 8 * layout.ScaleBytes },
                Values = new KvSource { IsPacked = true, Data = (nint)(codes + layout.ValueOffset), HeadBytes = layout.CodeBytes, StepBytes = 8 * layout.CodeBytes, Scales = (nint)(scales + layout.ValueScaleIndex), ScaleHeadBytes = layout.ScaleBytes, ScaleStepBytes = 8 * layout.ScaleBytes } };
            var queries = new AttentionQueries { Count = n, KvHeads = 8, Group = 4, HeadDim = d, Scale = 0.1f, Position = t, SlidingWindow = int.MaxValue, Type = NumberType.BFloat16, Queries = (nint)q, QueryHeadBytes = d * 2, QueryTokenBytes = 32 * d * 2, Outputs = (nint)o };
            var ms = Best(n > 1 ? 3 : args.Contains("one") ? 1500 : 30, () => { work.Add(queries, layout, [run]); work.Run(); });
            Console.WriteLine($"{kernel.Name} d={d} t={t} n={n}: {ms:F3} ms  {4.0 * 32 * n * t * d / ms / 1e6:F0} GFLOPS, packed {pages * 8.0 * layout.HeadBytes / 1e6:F1} MB {pages * 8.0 * layout.HeadBytes / ms / 1e6:F1} GB/s");
            NativeMemory.AlignedFree(codes); NativeMemory.AlignedFree(scales);
        }
    }
    if (args.Contains("torch"))
    {
        LibTorch.EnsureLoaded();
        using var im = inference_mode();
        Console.WriteLine($"threads {get_num_threads()}");
        using var big = zeros(1 << 28, ScalarType.BFloat16); // 512 MB
        var bytes = big.bytes;
        fixed (byte* b = bytes)
        {
            var addr = (nint)b; long n = bytes.Length;
            double ms = Best(5, () => Parallel.For(0, 64, i => { var v = (System.Runtime.Intrinsics.Vector512<int>*)(addr + i * (n / 64)); var s = System.Runtime.Intrinsics.Vector512<int>.Zero; for (long k = 0; k < n / 64 / 64; k += 4) s ^= v[k] ^ v[k + 1] ^ v[k + 2] ^ v[k + 3]; if (s[0] == 12345) Console.Write(""); }));
            Console.WriteLine($"read {n / ms / 1e6:F1} GB/s");
        }
        foreach (var (rows, nn, kk) in new[] { (1, 16384, 2048), (512, 16384, 2048), (512, 2048, 8192), (512, 3072, 2048), (64, 16384, 2048) })
        {
            using var w = randn(nn, kk).to(ScalarType.BFloat16); using var x = randn(rows, kk).to(ScalarType.BFloat16);
            var ms = Best(5, () => { using var y = nn_linear(x, w); });
            Console.WriteLine($"linear [{rows},{kk}]x[{nn}]: {ms:F2} ms, {2.0 * rows * nn * kk / ms / 1e6:F0} GFLOPS, {2.0 * nn * kk / ms / 1e6:F1} GB/s");
        }
        foreach (var (d, t) in new[] { (128, 4096), (128, 16384), (64, 16384), (128, 65536) })
        {
            using var q = randn(8, 4, d).to(ScalarType.BFloat16); using var k = randn(8, t, d).to(ScalarType.BFloat16); using var v = randn(8, t, d).to(ScalarType.BFloat16);
            var ms = Best(10, () => { using var y = nn.functional.scaled_dot_product_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)); });
            Console.WriteLine($"sdpa decode d={d} t={t}: {ms:F2} ms");
            if (t == 16384) { using var q5 = randn(1, 8, 4 * 512, d).to(ScalarType.BFloat16); var m2 = Best(2, () => { using var y = nn.functional.scaled_dot_product_attention(q5, k.unsqueeze(0), v.unsqueeze(0)); }); Console.WriteLine($"sdpa prefill 512 d={d} t={t}: {m2:F1} ms {4.0 * 32 * 512 * t * d / m2 / 1e6:F0} GFLOPS"); }
        }
    }
    static Tensor nn_linear(Tensor x, Tensor w) => nn.functional.linear(x, w);
}
