using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Tests.Attention;
using static TorchSharp.torch;

namespace LocalLlm.Tests.KvCache;

public class SavedCacheTests
{
    private const int PromptEnd = 333, Tokens = 700;

    public SavedCacheTests() => LibTorch.EnsureLoaded();

    private static KvShape Shape(ScalarType type = ScalarType.Float32) => new(3, 2, 24, type, CPU);

    [Theory]
    [MemberData(nameof(CacheCases.OnEveryBackend), MemberType = typeof(CacheCases))]
    public void Load_WhatSaveWrote_GoesOnAsTheCacheDoes(string name, string backend)
    {
        using var used = TestBackend.Open(backend);
        var stream = new KvStream(used.On(Shape(name.Length % 2 == 0 ? ScalarType.BFloat16 : ScalarType.Float32)), 2, Tokens, seed: 3);
        var factory = used.Factory(CacheCases.Named(name), stream.Shape);
        foreach (var length in new[] { 1, 31, PromptEnd, 400, 533 })
        {
            using var cache = Filled(factory, stream, length);
            var saved = Save(cache);
            using var loaded = factory.Load(new MemoryStream(saved), length);

            loaded.Length.ShouldBe(length);
            loaded.Bytes.ShouldBe(cache.Bytes);
            Save(loaded).ShouldBe(saved);
            for (var shorter = length; shorter > Math.Max(0, length - 40); shorter--)
                loaded.CanTruncate(shorter).ShouldBe(cache.CanTruncate(shorter));

            // Pages of the two are made from the same rows, and a fork of the loaded one goes its own way.
            using var fork = loaded.Fork();
            stream.Append(cache, 100, Tokens - length - 100);
            stream.Append(loaded, Tokens - length - 1, 1);
            stream.Append(fork, 1, 1);
            Save(loaded).ShouldBe(Save(cache));
            fork.Length.ShouldBe(length + 2);
        }
    }

    [Theory]
    [MemberData(nameof(CacheCases.All), MemberType = typeof(CacheCases))]
    public void Save_AnyChunking_WritesTheSameBytes(string name)
    {
        var stream = new KvStream(Shape(), 2, Tokens, seed: 8);
        var factory = CacheCases.Factory(name, stream.Shape);
        using var single = factory.Create();
        using var chunked = factory.Create();
        stream.Append(single, Enumerable.Repeat(1, 500));
        stream.Append(chunked, 200, 7, 293);
        Save(chunked).ShouldBe(Save(single));
    }

    [Fact]
    public void Load_DataThatDoNotFit_AreRefusedAndLeaveNoTensorBehind()
    {
        var stream = new KvStream(Shape(), 2, Tokens, seed: 3);
        foreach (var name in CacheCases.All.Select(row => (string)row.Data))
        {
            var factory = CacheCases.Factory(name, stream.Shape);
            using var cache = Filled(factory, stream, 500);
            var saved = Save(cache);
            var before = LiveTensors.Count;
            Should.Throw<InvalidDataException>(() => factory.Load(new MemoryStream(saved), 499)).Message.ShouldContain("length");
            foreach (var length in new[] { 0, 3, 4, 100, saved.Length / 2, saved.Length - 1 })
                Should.Throw<InvalidDataException>(() => factory.Load(new MemoryStream(saved, 0, length), 500)).Message.ShouldContain("ends before");
            Should.Throw<InvalidDataException>(() => factory.Load(new MemoryStream([.. saved, 0]), 500)).Message.ShouldContain("more data");
            LiveTensors.Count.ShouldBe(before);
        }
    }

    [Fact]
    public void Load_AStateThatNoPromptEndLeadsTo_IsRefused()
    {
        var stream = new KvStream(Shape(), 2, Tokens, seed: 3);
        foreach (var (name, state) in new[] { ("Kivi", 64), ("HuggingFaceKivi", 33) })
        {
            var factory = CacheCases.Factory(name, stream.Shape);
            using var cache = Filled(factory, stream, 500);
            var saved = Save(cache);
            BitConverter.TryWriteBytes(saved.AsSpan(8), state).ShouldBeTrue();
            Should.Throw<InvalidDataException>(() => factory.Load(new MemoryStream(saved), 500)).Message.ShouldContain(state.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public void Save_AStepUnderWay_IsRefused()
    {
        var stream = new KvStream(Shape(), 2, 10, seed: 3);
        using var cache = CacheCases.Factory("Kivi", stream.Shape).Create();
        var plan = cache.PlanAppend(1);
        using (NewDisposeScope())
            cache.Append(0, stream.Keys(0, 0, 1), stream.Values(0, 0, 1), plan, 0);
        Should.Throw<InvalidOperationException>(() => Save(cache)).Message.ShouldContain("under way");
    }

    internal static byte[] Save(IKvCache cache)
    {
        var data = new MemoryStream();
        ((ISavableKvCache)cache).Save(new CacheWriter(data));
        return data.ToArray();
    }

    private static IKvCache Filled(KvCacheFactory factory, KvStream stream, int length)
    {
        var cache = factory.Create();
        stream.Append(cache, Math.Min(length, PromptEnd));
        if (length >= PromptEnd)
            cache.EndPrompt();
        if (length > PromptEnd)
            stream.Append(cache, length - PromptEnd);
        return cache;
    }
}
