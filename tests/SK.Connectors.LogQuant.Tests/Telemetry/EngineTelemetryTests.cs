using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Engines;

namespace SK.Connectors.LogQuant.Tests.Telemetry;

public sealed partial class EngineTelemetryTests
{
    private const string Model = "gen_ai.provider.name=logquant gen_ai.request.model=scripted";
    private const string Chat = "gen_ai.operation.name=chat " + Model;

    [Fact]
    public async Task Generate_CompleteAnswer_IsMeasured()
    {
        await using var services = Services(new ScriptedEngine(Script.Text("hi")) { Statistics = Busy });
        using var listener = Listen(services);

        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");
        listener.Observe();

        // Durations are the machine's; what the engine tells is exact.
        listener.Measurements.Where(m => m.Name is not ("gen_ai.server.request.duration" or "logquant.model.load.duration")).ShouldBe(
        [
            ("gen_ai.server.time_to_first_token", 0.030, Chat),
            ("gen_ai.server.time_per_output_token", 0.2, Chat),
            ("logquant.queue.duration", 0.012, Chat),
            ("logquant.tokens.prompt", 100, Chat),
            ("logquant.tokens.cached", 60, Chat),
            ("logquant.tokens.completion", 11, Chat),
            ("logquant.requests.running", 1, Model),
            ("logquant.requests.waiting", 2, Model),
            ("logquant.requests.paused", 15, Model),
            ("logquant.kv.bytes", 3, Model),
            ("logquant.kv.reserved", 4, Model),
            ("logquant.kv.retained", 5, Model),
            ("logquant.kv.used", 6, Model),
            ("logquant.kv.free", 94, Model),
            ("logquant.kv.shared", 7, Model),
            ("logquant.kv.spilled", 8, Model),
            ("logquant.caches.retained", 9, Model),
            ("logquant.caches.spilled", 10, Model),
            ("logquant.caches.spills", 16, Model),
            ("logquant.caches.restores", 17, Model),
            ("logquant.preemptions", 11, Model),
            ("logquant.tokens.generated", 12, Model),
            ("logquant.tokens.rate", 13.5, Model),
            ("logquant.tokens.cached_ratio", 0.75, Model),
            ("logquant.steps", 14, Model),
            ("logquant.step.time", 1.5, $"{Model} logquant.step.part=plan"),
            ("logquant.step.time", 2.5, $"{Model} logquant.step.part=attention"),
            ("logquant.step.time", 3.5, $"{Model} logquant.step.part=model"),
            ("logquant.step.time", 4.5, $"{Model} logquant.step.part=commit"),
            ("logquant.step.time", 5.5, $"{Model} logquant.step.part=sample"),
        ], ignoreOrder: true);
        listener.Measurements.Single(m => m.Name == "gen_ai.server.request.duration").Tags.ShouldBe(Chat);
        listener.Measurements.Single(m => m.Name == "logquant.model.load.duration").Tags.ShouldBe(Model);
    }

    [Fact]
    public async Task Observe_EngineWithoutALimit_HasNoFreeBytes()
    {
        await using var services = Services(new ScriptedEngine(Script.Text("hi")) { Statistics = Busy with { KvLimitBytes = null } });
        using var listener = Listen(services);

        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");
        listener.Observe();

        listener.Measurements.ShouldNotContain(m => m.Name == "logquant.kv.free");
        listener.Measurements.ShouldContain(m => m.Name == "logquant.kv.used");
    }

    [Fact]
    public async Task Generate_Failure_IsMeasuredWithItsType()
    {
        await using var services = Services(new ScriptedEngine());
        using var listener = Listen(services);

        await Should.ThrowAsync<LocalLlmException>(() => services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello"));

        listener.Measurements.Single(m => m.Name.StartsWith("gen_ai", StringComparison.Ordinal))
            .ShouldSatisfyAllConditions(
                m => m.Name.ShouldBe("gen_ai.server.request.duration"),
                m => m.Tags.ShouldBe($"error.type={typeof(LocalLlmException)} {Chat}"));
    }

    [Fact]
    public async Task Generate_ReaderLeaves_IsMeasuredAsAbandoned()
    {
        await using var services = Services(new ScriptedEngine(Script.Text("a", "b")));
        using var listener = Listen(services);

        await foreach (var _ in services.GetRequiredService<ILlmEngine>().GenerateAsync(new GenerationRequest { Prompt = "x" }))
            break;

        listener.Measurements.Single(m => m.Name == "gen_ai.server.request.duration").Tags
            .ShouldBe("error.type=abandoned gen_ai.operation.name=text_completion " + Model);
    }

    [Fact]
    public async Task Load_Failure_IsMeasuredWithItsType()
    {
        await using var services = Services(() => Task.FromException<ILlmEngine>(new ModelLoadException("no tokenizer")), "broken");
        using var root = new Activity("root").Start();
        using var listener = Listen(services, root);

        await Should.ThrowAsync<ModelLoadException>(() => services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello"));

        listener.Measurements.Single(m => m.Name == "logquant.model.load.duration").Tags
            .ShouldBe($"error.type={typeof(ModelLoadException)} gen_ai.provider.name=logquant gen_ai.request.model=broken");
        listener.Spans.ShouldHaveSingleItem().ShouldSatisfyAllConditions(
            s => s.OperationName.ShouldBe("load broken"), s => s.Status.ShouldBe(ActivityStatusCode.Error));
    }

    [Fact]
    public async Task Generate_CompleteAnswer_HasThePhasesAsSpansOfTheCaller()
    {
        await using var services = Services(new ScriptedEngine(Script.Text("hi")));
        using var root = new Activity("root").Start();
        using var listener = Listen(services, root);

        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        Activity.Current.ShouldBe(root);
        var spans = listener.Spans.Where(s => !s.OperationName.StartsWith("load", StringComparison.Ordinal)).OrderBy(s => s.StartTimeUtc).ToList();
        spans.Select(s => s.OperationName).ShouldBe(["queue", "prefill", "decode"]);
        spans.ShouldAllBe(s => s.ParentSpanId == root.SpanId && (string?)s.GetTagItem("gen_ai.request.model") == "scripted");
        (spans[0].StartTimeUtc + spans[0].Duration).ShouldBe(spans[1].StartTimeUtc);
        spans[1].Duration.ShouldBe(Script.Usage.TimeToFirstToken - Script.Usage.QueueTime);
        spans[2].Duration.ShouldBe(Script.Usage.DecodeTime);
        (spans[1].GetTagItem("gen_ai.usage.input_tokens"), spans[1].GetTagItem("gen_ai.usage.cache_read.input_tokens")).ShouldBe((100, 60));
        (spans[2].GetTagItem("gen_ai.usage.output_tokens"), spans[2].GetTagItem("logquant.kv.bytes")).ShouldBe((11, 5_000L));
        ((string[])spans[2].GetTagItem("gen_ai.response.finish_reasons")!).ShouldBe(["stop"]);
        listener.Spans.Single(s => s.OperationName == "load scripted-folder").GetTagItem("logquant.model.parameters").ShouldBe(1L);
    }

    [Fact]
    public async Task Services_WithoutAMeterFactory_WorkWithoutMetrics()
    {
        await using var services = Services(new ScriptedEngine(Script.Text("hi")), metrics: false);

        (await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello")).Content.ShouldBe("hi");
    }

    [Fact]
    public async Task Document_ListsTheInstrumentsAndAttributesOfTheCode()
    {
        var document = await File.ReadAllTextAsync(RepositoryRoot.Require("docs", "telemetry.md"), TestContext.Current.CancellationToken);
        await using var services = Services(new ScriptedEngine(Script.Text("hi")));
        using var listener = Listen(services);
        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        var listed = InstrumentRow().Matches(document).Select(m => (m.Groups[1].Value, m.Groups[2].Value, m.Groups[3].Value));

        listed.ShouldBe(listener.Instruments.Select(i => (i.Name, Kind(i), i.Unit!)), ignoreOrder: true);
        foreach (var name in typeof(SK.Connectors.LogQuant.Telemetry.TagNames).GetFields().Select(f => (string)f.GetRawConstantValue()!))
            document.ShouldContain($"`{name}`");
        document.ShouldContain($"`{LogQuantTelemetry.MeterName}`");

        static string Kind(Instrument instrument) => instrument.GetType().Name switch
        {
            "Histogram`1" => "histogram",
            "Counter`1" => "counter",
            "ObservableUpDownCounter`1" => "up-down counter",
            "ObservableCounter`1" => "counter",
            "ObservableGauge`1" => "gauge",
            var other => other,
        };
    }

    private static EngineStatistics Busy { get; } = new()
    {
        RunningRequests = 1,
        WaitingRequests = 2,
        KvBytes = 3,
        ReservedKvBytes = 4,
        RetainedKvBytes = 5,
        KvUsedBytes = 6,
        KvLimitBytes = 100,
        SharedKvBytes = 7,
        SpilledKvBytes = 8,
        RetainedCaches = 9,
        SpilledCaches = 10,
        Preemptions = 11,
        GeneratedTokens = 12,
        TokensPerSecond = 13.5,
        PromptTokens = 16,
        CachedPromptTokens = 12,
        Steps = 14,
        PausedRequests = 15,
        CacheSpills = 16,
        CacheRestores = 17,
        StepTimes = new()
        {
            Planning = TimeSpan.FromSeconds(1.5),
            Attention = TimeSpan.FromSeconds(2.5),
            Model = TimeSpan.FromSeconds(3.5),
            Committing = TimeSpan.FromSeconds(4.5),
            Sampling = TimeSpan.FromSeconds(5.5),
        },
    };

    [GeneratedRegex(@"^\| `([^`{]+)` \| ([a-z-]+(?: [a-z]+)?) \| (\S+) \|", RegexOptions.Multiline)]
    private static partial Regex InstrumentRow();

    private static ServiceProvider Services(ScriptedEngine engine, bool metrics = true) =>
        Services(() => Task.FromResult<ILlmEngine>(engine), "scripted-folder", metrics);

    private static ServiceProvider Services(Func<Task<ILlmEngine>> load, string modelId, bool metrics = true)
    {
        var services = new ServiceCollection();
        if (metrics)
            services.AddMetrics();
        services.AddSingleton<EngineLoader>((_, _, _) => load());
        services.AddLogQuantChatCompletion(o => (o.ModelPath, o.ModelId) = (AppContext.BaseDirectory, modelId));
        return services.BuildServiceProvider();
    }

    private static TelemetryListener Listen(ServiceProvider services, Activity? root = null) =>
        new(services.GetRequiredService<IMeterFactory>(), a => root is not null && a.TraceId == root.TraceId);
}
