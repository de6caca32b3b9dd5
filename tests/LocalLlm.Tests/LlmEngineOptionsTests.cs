namespace LocalLlm.Tests;

public class LlmEngineOptionsTests
{
    [Fact]
    public void Validate_Defaults_MissNothingButTheModel() => new LlmEngineOptions().Validate().ShouldHaveSingleItem().ShouldContain("ModelPath");

    [Fact]
    public void Validate_EverythingWrong_NamesEachOptionWithItsValue()
    {
        var options = new LlmEngineOptions
        {
            Device = null!,
            WeightType = (WeightType)9,
            AttentionBackend = (AttentionBackend)7,
            ContextTokens = 1,
            MaxSequences = 0,
            PrefillChunkTokens = 0,
            Threads = 1_000_000,
            KvCache = new KvCacheOptions { Window = 33, KeyBits = 5, ValueBits = 1, SinkTokens = -1, BoundaryLayers = -1, RetainedConversations = -2 },
        };

        var errors = options.Validate();

        foreach (var part in new[]
        {
            "ModelPath", "Device", "WeightType is 9", "AttentionBackend is 7", "ContextTokens is 1", "MaxSequences is 0", "PrefillChunkTokens is 0", "Threads is 1000000",
            "Window", "33", "KeyBits", "ValueBits", "SinkTokens", "BoundaryLayers", "RetainedConversations",
        })
        {
            errors.ShouldContain(e => e.Contains(part, StringComparison.Ordinal), part);
        }
    }

    [Fact]
    public void Validate_CudaKernelsOnACpu_AreRefused() =>
        new LlmEngineOptions { ModelPath = "m", Device = "cpu", AttentionBackend = AttentionBackend.Cuda }
            .Validate().ShouldHaveSingleItem().ShouldContain("AttentionBackend is Cuda");

    [Theory]
    [InlineData("auto")]
    [InlineData("cuda")]
    public void Validate_CpuKernelsElsewhere_AreRefused(string device) =>
        new LlmEngineOptions { ModelPath = "m", Device = device, AttentionBackend = AttentionBackend.Cpu }.Validate().ShouldHaveSingleItem().ShouldContain(device);

    [Fact]
    public async Task LoadAsync_CacheThatTheModelCannotHave_IsRefused()
    {
        var options = new LlmEngineOptions
        {
            ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"),
            KvCache = new KvCacheOptions { BoundaryLayers = 50 },
        };

        (await Should.ThrowAsync<ArgumentException>(() => LlmEngine.LoadAsync(options))).Message.ShouldContain("BoundaryLayers must be 0 to 2");
    }

    [Theory]
    [InlineData(AttentionBackend.Torch, int.MaxValue)]
    [InlineData(AttentionBackend.Cpu, 3)]
    public async Task LoadAsync_EitherBackend_GivesTheSameGreedyText(AttentionBackend backend, int retained)
    {
        // The pages are made alike, so that the texts can be compared; options changed after the call have no effect on it.
        var options = new LlmEngineOptions
        {
            ModelPath = RepositoryRoot.Require("samples", "DemoModel", "model"),
            AttentionBackend = backend,
            KvCache = new KvCacheOptions { Window = 32, ClipSearch = false, RetainedConversations = retained },
        };
        var loading = LlmEngine.LoadAsync(options);
        options.KvCache.Window = 33;
        await using var engine = await loading;
        var reference = new LlmEngineOptions { ModelPath = options.ModelPath, KvCache = new KvCacheOptions { Window = 32, ClipSearch = false } };
        await using var other = await LlmEngine.LoadAsync(reference);
        var request = new GenerationRequest
        {
            Turns = [new(ChatRole.User, string.Concat(Enumerable.Range(0, 60).Select(i => $"Box {i} holds {i * 7 % 13} valves. ")) + "What do you know?")],
            Sampling = SamplingOptions.Greedy,
            MaxTokens = 40,
        };

        (await engine.ReadAsync(request)).Text.ShouldBe((await other.ReadAsync(request)).Text);
    }
}
