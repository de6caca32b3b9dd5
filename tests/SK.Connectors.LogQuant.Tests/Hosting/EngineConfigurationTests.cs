using System.Reflection;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Hosting;

namespace SK.Connectors.LogQuant.Tests.Hosting;

public sealed class EngineConfigurationTests
{
    private static readonly string Folder = AppContext.BaseDirectory;

    [Fact]
    public void Keys_AreThePropertiesOfTheOptions()
    {
        var expected = Writable(typeof(LlmEngineOptions)).Where(n => n != nameof(LlmEngineOptions.KvCache))
            .Concat(Writable(typeof(KvCacheOptions)).Select(n => $"KvCache:{n}"));

        EngineConfiguration.Keys.ShouldBe(expected, ignoreOrder: true);

        static IEnumerable<string> Writable(Type type) =>
            type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is { IsPublic: true }).Select(p => p.Name);
    }

    [Fact]
    public void Apply_EveryKey_IsSet()
    {
        var options = new LlmEngineOptions();

        EngineConfiguration.Apply(Section(new()
        {
            ["ModelPath"] = "p",
            ["ModelId"] = "m",
            ["Device"] = "cuda",
            ["LibTorchPath"] = "l",
            ["WeightType"] = "float16",
            ["ContextTokens"] = "100",
            ["MaxSequences"] = "2",
            ["PrefillChunkTokens"] = "3",
            ["ToolCallFormat"] = "Hermes",
            ["AttentionBackend"] = "Torch",
            ["threads"] = "4",
            ["KvCache:Kind"] = "Dense",
            ["KvCache:Window"] = "32",
            ["KvCache:SinkTokens"] = "5",
            ["KvCache:PageTokens"] = "32",
            ["KvCache:KeyBits"] = "4",
            ["KvCache:SlowKeyBits"] = "4",
            ["KvCache:ValueBits"] = "3",
            ["KvCache:Scales"] = "Half",
            ["KvCache:ClipSearch"] = "false",
            ["KvCache:BoundaryLayers"] = "1",
            ["KvCache:BoundaryKeyBits"] = "3",
            ["KvCache:BoundaryValueBits"] = "3",
            ["KvCache:MemoryBytes"] = "5000000000",
            ["KvCache:SpillDirectory"] = "s",
            ["KvCache:SpillBytes"] = "20GiB",
            ["KvCache:RetainedConversations"] = "7",
        }), options).ShouldBeEmpty();

        options.ShouldBe(new LlmEngineOptions
        {
            ModelPath = "p",
            ModelId = "m",
            Device = "cuda",
            LibTorchPath = "l",
            WeightType = WeightType.Float16,
            ContextTokens = 100,
            MaxSequences = 2,
            PrefillChunkTokens = 3,
            ToolCallFormat = ToolCallFormat.Hermes,
            AttentionBackend = AttentionBackend.Torch,
            Threads = 4,
            KvCache = new KvCacheOptions
            {
                Kind = KvCacheKind.Dense,
                Window = 32,
                SinkTokens = 5,
                PageTokens = 32,
                KeyBits = 4,
                SlowKeyBits = 4,
                ValueBits = 3,
                Scales = Enum.Parse<KvScaleFormat>("Half"),
                ClipSearch = false,
                BoundaryLayers = 1,
                BoundaryKeyBits = 3,
                BoundaryValueBits = 3,
                MemoryBytes = 5_000_000_000,
                SpillDirectory = "s",
                SpillBytes = 20L << 30,
                RetainedConversations = 7,
            },
        });
    }

    [Fact]
    public void Apply_WrongValuesAndKeys_AreAllReportedWithTheirPathAndAHint()
    {
        var errors = EngineConfiguration.Apply(Section(new()
        {
            ["ModelPath"] = "p",
            ["MaxSequence"] = "2",
            ["Zebra"] = "1",
            ["ContextTokens"] = "many",
            ["WeightType"] = "Int3",
            ["Threads:Count"] = "2",
            ["KvCache:Knd"] = "Dense",
            ["KvCache:ClipSearch"] = "perhaps",
            ["KvCache:MemoryBytes"] = "1.5",
        }), new LlmEngineOptions());

        errors.ShouldBe(
        [
            "LogQuant:ContextTokens is 'many'; it must be a whole number.",
            "LogQuant:KvCache:ClipSearch is 'perhaps'; it must be true or false.",
            "LogQuant:KvCache:Knd is unknown; did you mean Kind?",
            "LogQuant:KvCache:MemoryBytes is '1.5'; it must be a number of bytes, a size such as 2GiB or 512MB, or a share of the free memory such as 40%.",
            "LogQuant:MaxSequence is unknown; did you mean MaxSequences?",
            "LogQuant:Threads is a section; it must be a single value.",
            "LogQuant:WeightType is 'Int3'; it must be one of Auto, Float32, BFloat16, Float16.",
            "LogQuant:Zebra is unknown; known are ModelPath, ModelId, Device, LibTorchPath, WeightType, ContextTokens, MaxSequences, MaxQueuedRequests, MaxQueueTime, PrefillChunkTokens, "
                + "ToolCallFormat, AttentionBackend, Threads, KvCache",
        ], ignoreOrder: true);
    }

    [Fact]
    public void Apply_EmptyValueOfANullableOption_SetsItToNull()
    {
        var options = new LlmEngineOptions { ContextTokens = 5, Threads = 3, ModelId = "x" };

        EngineConfiguration.Apply(Section(new() { ["ContextTokens"] = "", ["Threads"] = "", ["ModelId"] = "" }), options).ShouldBeEmpty();

        (options.ContextTokens, options.Threads, options.ModelId).ShouldBe((null, null, null));
    }

    [Fact]
    public void Apply_MissingSection_IsAnError() =>
        EngineConfiguration.Apply(new ConfigurationBuilder().Build().GetSection("LogQuant"), new LlmEngineOptions())
            .ShouldHaveSingleItem().ShouldStartWith("LogQuant: the configuration section is missing or empty");

    [Fact]
    public async Task StartHost_WrongConfiguration_ReportsItWithTheOtherOptionsAtOnce()
    {
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["LogQuant:ModelPath"] = "/no/such/model",
            ["LogQuant:MaxSequences"] = "0",
            ["LogQuant:ContextToken"] = "4096",
        });
        builder.Services.AddLogQuantChatCompletion(builder.Configuration.GetSection("LogQuant"));
        using var host = builder.Build();

        var error = await Should.ThrowAsync<OptionsValidationException>(() => host.StartAsync(TestContext.Current.CancellationToken));

        error.Failures.Count().ShouldBe(3);
        error.Message.ShouldContain("/no/such/model");
        error.Message.ShouldContain("MaxSequences is 0");
        error.Message.ShouldContain("LogQuant:ContextToken is unknown; did you mean ContextTokens?");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("a")]
    public async Task AllServices_OneSection_ShareOneConfiguredEngine(string? serviceId)
    {
        var loaded = new List<LlmEngineOptions>();
        var services = new ServiceCollection();
        services.AddSingleton<EngineLoader>((options, _, _) =>
        {
            loaded.Add(options);
            return Task.FromResult<ILlmEngine>(new ScriptedEngine(Script.Text("hi"), Script.Text("hi again")));
        });
        var section = Section(new() { ["ModelPath"] = Folder, ["MaxSequences"] = "3", ["KvCache:Kind"] = "LogQuant" });
        services.AddLogQuantEngine(section, serviceId).AddLogQuantChatCompletion(section, serviceId).AddLogQuantChatClient(section, serviceId);
        await using var provider = services.BuildServiceProvider(new ServiceProviderOptions { ValidateOnBuild = true });

        await provider.GetRequiredKeyedService<IChatCompletionService>(serviceId).GetChatMessageContentAsync("Hello");
        await provider.GetRequiredKeyedService<IChatClient>(serviceId).GetResponseAsync("Hello");

        var options = loaded.ShouldHaveSingleItem();
        (options.ModelPath, options.MaxSequences, options.KvCache.Kind).ShouldBe((Folder, 3, KvCacheKind.LogQuant));
    }

    [Fact]
    public void KernelBuilder_Section_RegistersTheServices()
    {
        var section = Section(new() { ["ModelPath"] = Folder });
        var builder = Kernel.CreateBuilder().AddLogQuantEngine(section).AddLogQuantChatCompletion(section).AddLogQuantChatClient(section);

        var kernel = builder.Build();

        kernel.GetRequiredService<IChatCompletionService>().ShouldBeOfType<LogQuantChatCompletionService>();
        kernel.GetRequiredService<IChatClient>().ShouldNotBeNull();
    }

    private static IConfigurationSection Section(Dictionary<string, string?> values) =>
        new ConfigurationBuilder().AddInMemoryCollection(values.ToDictionary(v => $"LogQuant:{v.Key}", v => v.Value)).Build().GetSection("LogQuant");
}
