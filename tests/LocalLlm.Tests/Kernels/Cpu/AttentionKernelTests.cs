using CsCheck;
using LocalLlm.Kernels.Cpu;
using LocalLlm.Quantization;

namespace LocalLlm.Tests.Kernels.Cpu;

public sealed class AttentionKernelTests : IDisposable
{
    private readonly WorkerTeam team = new(2);

    public void Dispose() => team.Dispose();

    public static TheoryData<int> Kernels() => [.. SimdPaths.Supported.Select(p => (int)p)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_EveryHeadDim_EqualsDoublePrecision(int path)
    {
        for (var headDim = 8; headDim <= 256; headDim += headDim < 136 ? 8 : 40)
        {
            var layout = new PageLayout(64, headDim, scales: headDim % 16 == 0 ? KvScaleFormat.Byte : KvScaleFormat.Half);
            using var test = new AttentionCase(layout, kvHeads: 2, group: 4, queries: 1, NumberType.Float32, seed: headDim);
            test.AddRun(3 * 64, packedKeys: true, packedValues: true);
            test.AddRun(21, packedKeys: false, packedValues: false);
            Check(test, path);
        }
    }

    public static TheoryData<int, int, int, int, KvScaleFormat> Formats()
    {
        var data = new TheoryData<int, int, int, int, KvScaleFormat>();
        foreach (var path in SimdPaths.Supported)
        {
            foreach (var tokens in new[] { 32, 64, 128 })
            {
                foreach (var (keyBits, valueBits) in new[] { (2, 2), (3, 2), (2, 3), (4, 3), (3, 4), (4, 4) })
                {
                    foreach (var scales in Enum.GetValues<KvScaleFormat>())
                        data.Add((int)path, tokens, keyBits, valueBits, scales);
                }
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Attend_EveryPageFormat_EqualsDoublePrecision(int path, int tokens, int keyBits, int valueBits, KvScaleFormat scales)
    {
        foreach (var (headDim, slowBits) in new[] { (48, 2), (80, 2), (128, 2), (48, 3), (64, 3), (80, 3), (128, 3), (64, 4), (80, 4) })
        {
            if (slowBits > 2 && keyBits > 2)
                continue;
            var layout = new PageLayout(tokens, headDim, keyBits, valueBits, scales, Math.Max(keyBits, slowBits));
            using var test = new AttentionCase(layout, 1, 3, 2, NumberType.Float32, seed: tokens + keyBits);
            test.AddRun(2 * tokens, packedKeys: true, packedValues: true);
            test.AddRun(2, packedKeys: false, packedValues: false, isFresh: true);
            Check(test, path);
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_EveryGroupAndNumberOfQueries_EqualsDoublePrecision(int path)
    {
        foreach (var group in new[] { 1, 2, 3, 4, 5, 7, 8 })
        {
            foreach (var queries in new[] { 1, 2, 3, 5, 16, 33 })
            {
                using var test = new AttentionCase(new PageLayout(32, 64), 2, group, queries, NumberType.Float32, seed: (10 * group) + queries);
                test.AddRun(96, packedKeys: true, packedValues: true);
                test.AddRun(37, packedKeys: false, packedValues: false, tileTokens: 32);
                test.AddRun(queries, packedKeys: false, packedValues: false, isFresh: true, tileTokens: 16);
                Check(test, path);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_EveryMixtureOfPagesAndRows_EqualsDoublePrecision(int path)
    {
        using var test = new AttentionCase(new PageLayout(32, 72, 3, 4), 2, 2, 3, NumberType.Float32, seed: 5);
        test.AddRun(64, packedKeys: true, packedValues: true, listPositions: true);
        test.AddRun(64, packedKeys: true, packedValues: false);
        test.AddRun(32, packedKeys: false, packedValues: true);
        test.AddRun(0, packedKeys: false, packedValues: false);
        test.AddRun(50, packedKeys: false, packedValues: false, listPositions: true);
        test.AddRun(3, packedKeys: false, packedValues: false, isFresh: true);
        Check(test, path);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_SlidingWindow_SeesTheWindowOnly(int path)
    {
        foreach (var window in new[] { 1, 2, 9, 40, 70, 130, 1000 })
        {
            foreach (var listPositions in new[] { false, true })
            {
                using var test = new AttentionCase(new PageLayout(32, 32), 2, 2, 9, NumberType.Float32, seed: window);
                test.AddRun(64, packedKeys: true, packedValues: true, listPositions: listPositions);
                test.AddRun(45, packedKeys: false, packedValues: false, listPositions: listPositions, tileTokens: 16);
                test.AddRun(9, packedKeys: false, packedValues: false, isFresh: true);
                Check(test, path, window);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_NarrowTypes_RoundTheOutputOnly(int path)
    {
        foreach (var (type, tolerance) in new[] { (NumberType.BFloat16, 1.0 / 256), (NumberType.Float16, 1.0 / 2048) })
        {
            foreach (var headDim in new[] { 24, 64, 128 })
            {
                using var test = new AttentionCase(new PageLayout(32, headDim), 2, 4, 5, type, seed: headDim);
                test.AddRun(64, packedKeys: true, packedValues: true);
                test.AddRun(19, packedKeys: false, packedValues: false);
                test.AddRun(5, packedKeys: false, packedValues: false, isFresh: true);
                using var work = Work(path);
                test.ShouldEqualOracle(work, tolerance + 1e-5); // half a unit of the last place
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Run_ManySequencesAtOnce_GivesEachItsOwn(int path)
    {
        var cases = Enumerable.Range(1, 9).Select(i =>
        {
            // From a few rows to a sequence that is divided into several parts.
            var test = new AttentionCase(new PageLayout(64, 32), 1, 2, i % 3 + 1, NumberType.Float32, seed: i);
            test.AddRun(64 * i * i, packedKeys: true, packedValues: true);
            test.AddRun(i % 3 + 1, packedKeys: false, packedValues: false, isFresh: true);
            return test;
        }).ToList();
        using var work = Work(path);
        foreach (var test in cases)
            work.Add(test.Request(), test.Layout, [.. test.Runs]);

        work.Run();

        foreach (var test in cases)
        {
            test.Compare(1e-5);
            test.Dispose();
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Attend_AnySequence_EqualsDoublePrecision(int path)
    {
        var shapes = Gen.Select(Gen.Int[1, 12], Gen.Int[1, 3], Gen.Int[1, 6], Gen.Int[1, 9], Gen.OneOf(Gen.Const(32), Gen.Const(64), Gen.Const(128)), Gen.Int[0, 3], Gen.Int[0, 100], Gen.Int[1, 400]);
        shapes.Sample(
            (headDim8, kvHeads, group, queries, tokens, pages, rows, window) =>
            {
                var layout = new PageLayout(tokens, 8 * headDim8, 2 + (pages % 3), 2 + (rows % 3), (KvScaleFormat)(rows % 2), Math.Max(2 + (pages % 3), pages % 3 == 0 ? 2 + (window % 3) : 2));
                using var test = new AttentionCase(layout, kvHeads, group, queries, NumberType.Float32, seed: window);
                test.AddRun(pages * tokens, packedKeys: true, packedValues: true);
                test.AddRun(rows, packedKeys: false, packedValues: false);
                test.AddRun(queries, packedKeys: false, packedValues: false, isFresh: true);
                Check(test, path, window % 3 == 0 ? window : int.MaxValue);
            },
            iter: 60,
            threads: 1);
    }

    [Fact]
    public void Add_WhatNoKernelTakes_SaysWhichNumber()
    {
        using var work = new AttentionWork(team);
        using var test = new AttentionCase(new PageLayout(32, 64), 1, 1, 1, NumberType.Float32, seed: 1);
        test.AddRun(32, packedKeys: true, packedValues: true);
        var run = test.Runs[0];

        Should.Throw<ArgumentException>(() => work.Add(test.Request() with { HeadDim = 12 }, null, [run])).Message.ShouldContain("got 12");
        Should.Throw<ArgumentException>(() => work.Add(test.Request() with { Group = 0 }, null, [run])).Message.ShouldContain("groups of 0");
        Should.Throw<ArgumentException>(() => work.Add(test.Request(), test.Layout, [run with { TileTokens = 24 }])).Message.ShouldContain("got 24");
        Should.Throw<ArgumentException>(() => work.Add(test.Request(), test.Layout, [run with { Tokens = 33 }])).Message.ShouldContain("whole pages");
        Should.Throw<ArgumentException>(() => work.Add(test.Request(), null, [run])).Message.ShouldContain("whole pages");
        Should.Throw<ArgumentException>(() => work.Add(test.Request(), test.Layout, [])).Message.ShouldContain("no token");
        Should.Throw<ArgumentException>(() => work.Add(test.Request(), test.Layout, [run with { Tokens = 0 }])).Message.ShouldContain("no token");
        test.ShouldEqualOracle(work, 1e-5); // what was refused has left nothing behind
    }

    [Fact]
    public unsafe void Clear_AfterAFailedAdd_ForgetsWhatWasAdded()
    {
        using var work = new AttentionWork(team);
        using var forgotten = new AttentionCase(new PageLayout(32, 64), 1, 1, 1, NumberType.Float32, seed: 1);
        using var test = new AttentionCase(new PageLayout(32, 64), 1, 1, 1, NumberType.Float32, seed: 2);
        forgotten.AddRun(32, packedKeys: true, packedValues: true);
        test.AddRun(32, packedKeys: true, packedValues: true);
        var output = (float*)forgotten.Request().Outputs;
        *output = -7;
        work.Add(forgotten.Request(), forgotten.Layout, [.. forgotten.Runs]);

        work.Clear();
        test.ShouldEqualOracle(work, 1e-5);

        (*output).ShouldBe(-7);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public unsafe void Attend_ScoreIsNotANumber_MakesTheOutputNoNumber(int path)
    {
        // Finite numbers whose product is infinity less infinity; one run with such a key, one without.
        float* query = stackalloc float[16], keys = stackalloc float[64 * 16], values = stackalloc float[64 * 16], output = stackalloc float[16];
        new Span<float>(query, 16).Clear();
        new Span<float>(query, 2).Fill(1e20f);
        new Span<float>(keys, 64 * 16).Clear();
        (keys[0], keys[1]) = (1e20f, -1e20f);
        new Span<float>(values, 64 * 16).Fill(3);
        var runs = new KvRun[2];
        for (var i = 0; i < 2; i++)
        {
            runs[i] = new KvRun
            {
                TileTokens = 32,
                Tokens = 32,
                FirstPosition = 32 * i,
                Keys = new KvSource { Data = (nint)(keys + (512 * i)), Type = NumberType.Float32, HeadBytes = 64 * 64, StepBytes = 64 },
                Values = new KvSource { Data = (nint)(values + (512 * i)), Type = NumberType.Float32, HeadBytes = 64 * 64, StepBytes = 64 },
            };
        }

        using var work = Work(path);

        work.Add(
            new AttentionQueries
            {
                Count = 1,
                KvHeads = 1,
                Group = 1,
                HeadDim = 16,
                Scale = 1,
                Position = 64,
                SlidingWindow = int.MaxValue,
                Type = NumberType.Float32,
                Queries = (nint)query,
                QueryHeadBytes = 64,
                QueryTokenBytes = 64,
                Outputs = (nint)output,
            },
            null, runs);
        work.Run();

        new Span<float>(output, 16).ToArray().ShouldAllBe(x => float.IsNaN(x));
    }

    private void Check(AttentionCase test, int path, int window = int.MaxValue)
    {
        using var work = Work(path);
        test.ShouldEqualOracle(work, 1e-5, window);
    }

    private AttentionWork Work(int path) => new(team, AttentionKernel.For((SimdPath)path));
}
