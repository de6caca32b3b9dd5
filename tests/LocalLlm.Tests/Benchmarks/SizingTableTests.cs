using LocalLlm.Benchmarks.Sizing;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Benchmarks;

public sealed class SizingTableTests
{
    public SizingTableTests() => LibTorch.EnsureLoaded();

    [Fact]
    public void Document_HasTheTableOfTheCode()
    {
        var document = File.ReadAllText(RepositoryRoot.Require("docs", "hosting.md")).ReplaceLineEndings("\n");

        document.ShouldContain(SizingTable.ToMarkdown(), customMessage: $"Run LocalLlm.Benchmarks {SizingTable.Command} and put its table into docs/hosting.md.");
    }

    [Theory]
    [InlineData(KvCacheKind.StreamingQuant, 8192)]
    [InlineData(KvCacheKind.StreamingQuant, 1000)]
    [InlineData(KvCacheKind.Dense, 4096)]
    [InlineData(KvCacheKind.Dense, 1000)]
    public void Conversations_FitThePoolAndNoMoreDo(KvCacheKind kind, int tokens)
    {
        const long budget = 40 << 20;
        var shape = new KvShape(4, 2, 64, ScalarType.BFloat16, CPU);
        var options = new KvCacheOptions { Kind = kind };
        using var pool = new KvPool(budget);
        var caches = new KvCacheFactory(options, shape, pool: pool);
        var all = new List<IKvCache>();
        try
        {
            // As the loop does: one is admitted only where the most that it takes is free.
            while (caches.PeakBytesFor(tokens) <= pool.FreeBytes)
            {
                all.Add(caches.Create());
                all[^1].Reserve(tokens);
            }

            SizingTable.Conversations(new KvCacheFactory(options, shape), budget, tokens).ShouldBe(all.Count);
            all.Count.ShouldBeGreaterThan(1);
        }
        finally
        {
            all.ForEach(c => c.Dispose());
        }
    }

    [Fact]
    public void Conversations_LessThanOneFits_IsNone() =>
        SizingTable.Conversations(new KvCacheFactory(new KvCacheOptions(), new KvShape(4, 2, 64, ScalarType.BFloat16, CPU)), 1000, 1024).ShouldBe(0);
}
