namespace LocalLlm.Fuzz;

/// <summary>The engine's options.</summary>
internal sealed class SettingsFuzzer : Fuzzer
{
    private static readonly int[] Numbers = [0, 1, 2, 3, 4, 5, 8, 31, 32, 64, 96, 128, 1000, 4096, 65536, -1, int.MaxValue, int.MinValue];
    private static readonly long[] Sizes = [0, 1, 1000, 100_000, 1 << 20, 1 << 24, 1L << 33, -1, long.MaxValue, long.MinValue];

    private string modelPath = "";
    private string directory = "";

    public override string Name => "settings";

    public override Task OpenAsync(string modelPath)
    {
        this.modelPath = modelPath;
        directory = Directory.CreateTempSubdirectory("fuzz-settings-").FullName;
        return Task.CompletedTask;
    }

    public override async Task<bool> TryAsync(Random random)
    {
        try
        {
            await using var engine = await LlmEngine.LoadAsync(Options(random));
            var request = new GenerationRequest { Turns = [new ChatTurn(ChatRole.User, new string('a', random.Next(600)))], MaxTokens = 3, Sampling = SamplingOptions.Greedy };
            for (var time = 0; time < 2; time++)
            {
                await foreach (var _ in engine.GenerateAsync(request))
                {
                }
            }

            return true;
        }
        catch (Exception e) when (IsRefusal(e))
        {
            return false;
        }
    }

    public override ValueTask DisposeAsync()
    {
        if (directory.Length > 0)
            Directory.Delete(directory, recursive: true);
        return ValueTask.CompletedTask;
    }

    // A few of them changed, so that not every engine is refused.
    private LlmEngineOptions Options(Random random)
    {
        var options = new LlmEngineOptions { ModelPath = modelPath, Threads = 1, KvCache = new KvCacheOptions { MemoryBytes = 1 << 24 } };
        for (var count = 1 + random.Next(5); count > 0; count--)
            Change(random, options);
        return options;
    }

    private void Change(Random random, LlmEngineOptions options)
    {
        var cache = options.KvCache;
        var number = Numbers[random.Next(Numbers.Length)];
        switch (random.Next(26))
        {
            case 0: options.ContextTokens = number; break;
            case 1: options.MaxSequences = number; break;
            case 2: options.MaxQueuedRequests = number; break;
            case 3: options.MaxQueueTime = TimeSpan.FromTicks(Sizes[random.Next(Sizes.Length)]); break;
            case 4: options.PrefillChunkTokens = number; break;
            case 5: options.ToolCallFormat = (ToolCallFormat)random.Next(-1, 12); break;
            case 6: options.AttentionBackend = (AttentionBackend)random.Next(-1, 4); break;
            case 7: options.WeightType = (WeightType)random.Next(-1, 5); break;
            case 8: options.Threads = random.Next(4) == 0 ? number : 1 + random.Next(3); break;
            case 9: options.Device = new[] { "cpu", "", "gpu", "cuda:99", "CPU", RandomText.Next(random, 3) }[random.Next(6)]; break;
            case 10: options.ModelId = RandomText.Next(random, 5); break;
            case 11: options.ModelPath = random.Next(3) > 0 ? modelPath : RandomText.Next(random, 4); break;
            case 12: cache.Kind = (KvCacheKind)random.Next(-1, 10); break;
            case 13: cache.Window = number; break;
            case 14: cache.SinkTokens = number; break;
            case 15: cache.PageTokens = number; break;
            case 16: cache.KeyBits = random.Next(6); break;
            case 17: cache.SlowKeyBits = random.Next(6); break;
            case 18: cache.ValueBits = random.Next(6); break;
            case 19: cache.Scales = (KvScaleFormat)random.Next(-1, 4); break;
            case 20: cache.ClipSearch = !cache.ClipSearch; break;
            case 21: (cache.BoundaryLayers, cache.BoundaryKeyBits, cache.BoundaryValueBits) = (number, random.Next(1, 6), random.Next(1, 6)); break;
            case 22: cache.MemoryBytes = new MemoryBudget(Sizes[random.Next(Sizes.Length)]); break;
            case 23: cache.RetainedConversations = number; break;
            case 24: cache.SpillDirectory = random.Next(3) > 0 ? Path.Combine(directory, $"{random.Next(4)}") : new[] { "", " ", "/dev/null/x", modelPath + "/config.json" }[random.Next(4)]; break;
            default: cache.SpillBytes = new MemoryBudget(Sizes[random.Next(Sizes.Length)]); break;
        }
    }
}
