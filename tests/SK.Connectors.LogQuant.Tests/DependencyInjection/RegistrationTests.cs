using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.Services;
using Microsoft.SemanticKernel.TextGeneration;
using Shouldly;
using SK.Connectors.LogQuant.Engines;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.DependencyInjection;

public sealed class RegistrationTests
{
    private static readonly string Folder = AppContext.BaseDirectory;

    private readonly List<LlmEngineOptions> _loaded = [];
    private readonly List<ScriptedEngine> _engines = [];

    /// <summary>Services whose engines are scripted ones, made when a model would be loaded.</summary>
    private ServiceCollection Services()
    {
        var services = new ServiceCollection();
        services.AddSingleton<EngineLoader>((options, _, _) =>
        {
            _loaded.Add(options);
            _engines.Add(new ScriptedEngine(Script.Text("hi"), Script.Text("hi again")));
            return Task.FromResult<ILlmEngine>(_engines[^1]);
        });
        return services;
    }

    [Fact]
    public async Task AddLogQuantChatCompletion_ModelPath_AnswersAndLoadsOnFirstUse()
    {
        await using var provider = Services().AddLogQuantChatCompletion(Folder).BuildServiceProvider();

        var chat = provider.GetRequiredService<IChatCompletionService>();
        chat.GetModelId().ShouldBe(Path.GetFileName(Path.TrimEndingDirectorySeparator(Folder)));
        chat.Attributes.ShouldNotContainKey(LogQuantChatCompletionService.ContextLengthKey);
        _loaded.ShouldBeEmpty();
        (await chat.GetChatMessageContentAsync("Hello")).Content.ShouldBe("hi");

        _loaded.ShouldHaveSingleItem().ModelPath.ShouldBe(Folder);
        chat.Attributes[LogQuantChatCompletionService.ContextLengthKey].ShouldBe(4096);
        provider.GetRequiredService<ITextGenerationService>().ShouldBeSameAs(chat);
    }

    [Fact]
    public async Task AddLogQuantChatCompletionAndClient_SameModelAndKey_ShareOneEngine()
    {
        await using var provider = Services().AddLogQuantChatCompletion(Folder, "a").AddLogQuantChatClient(Folder, "a").BuildServiceProvider();

        await provider.GetRequiredKeyedService<IChatCompletionService>("a").GetChatMessageContentAsync("Hello");
        await provider.GetRequiredKeyedService<IChatClient>("a").GetResponseAsync("Hello");

        _engines.ShouldHaveSingleItem();
        provider.GetService<IChatCompletionService>().ShouldBeNull();
        provider.GetService<ILlmEngine>().ShouldBeNull();
    }

    [Fact]
    public async Task AddLogQuantChatCompletion_TwoKeys_AreTwoEngines()
    {
        await using var provider = Services().AddLogQuantChatCompletion(Folder, "a")
            .AddLogQuantChatCompletion(o => { o.ModelPath = Folder; o.ModelId = "second"; }, "b").BuildServiceProvider();

        foreach (var key in new[] { "a", "b" })
            await provider.GetRequiredKeyedService<IChatCompletionService>(key).GetChatMessageContentAsync("Hello");

        _engines.Count.ShouldBe(2);
        _loaded.Select(o => o.ModelId).ShouldBe([null, "second"]);
    }

    [Fact]
    public void AddLogQuantChatClient_SameKeyOtherModel_IsAnError()
    {
        var services = Services().AddLogQuantChatCompletion(Folder, "a");

        var error = Should.Throw<InvalidOperationException>(() => services.AddLogQuantChatClient("/another/model", "a"));

        error.Message.ShouldContain("'a'");
    }

    [Fact]
    public void AddLogQuantEngine_CustomEngineAndModelUnderOneKey_IsAnError()
    {
        var services = Services().AddLogQuantEngine((IServiceProvider _) => new ScriptedEngine());

        Should.Throw<InvalidOperationException>(() => services.AddLogQuantChatClient(Folder)).Message.ShouldContain("without a service id");
        Should.Throw<InvalidOperationException>(() => services.AddLogQuantEngine((IServiceProvider _) => new ScriptedEngine()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task DisposeProvider_EngineLoaded_IsDisposed(bool synchronously)
    {
        var provider = Services().AddLogQuantChatCompletion(Folder).BuildServiceProvider();
        await provider.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        if (synchronously)
            provider.Dispose();
        else
            await provider.DisposeAsync();

        _engines.Single().IsDisposed.ShouldBeTrue();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task DisposeProvider_CustomEngineRegistered_IsDisposed(bool synchronously)
    {
        var engine = new ScriptedEngine(Script.Text("hi"));
        var provider = new ServiceCollection().AddLogQuantEngine(_ => engine)
            .AddLogQuantChatClient(p => p.GetRequiredService<ILlmEngine>()).BuildServiceProvider();
        (await provider.GetRequiredService<IChatClient>().GetResponseAsync("Hello")).Text.ShouldBe("hi");

        if (synchronously)
            provider.Dispose();
        else
            await provider.DisposeAsync();

        engine.IsDisposed.ShouldBeTrue();
    }

    [Fact]
    public async Task DisposeProvider_EngineBorrowedByAFactory_IsLeftAlone()
    {
        var engine = new ScriptedEngine(Script.Text("hi"));
        var provider = new ServiceCollection().AddLogQuantChatCompletion(_ => engine).AddLogQuantChatClient(_ => engine).BuildServiceProvider();
        provider.GetRequiredService<IChatClient>();
        await provider.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        await provider.DisposeAsync();

        engine.IsDisposed.ShouldBeFalse();
    }

    [Fact]
    public async Task AddLogQuantChatCompletion_OptionsObject_IsCopied()
    {
        var options = new LlmEngineOptions { ModelPath = Folder, MaxSequences = 3, KvCache = { Kind = KvCacheKind.Dense } };
        var services = Services().AddLogQuantChatCompletion(options);
        options.MaxSequences = 99;
        options.KvCache.Kind = KvCacheKind.LogQuant;
        await using var provider = services.BuildServiceProvider();

        await provider.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello");

        _loaded.Single().ShouldBe(new LlmEngineOptions { ModelPath = Folder, MaxSequences = 3, KvCache = { Kind = KvCacheKind.Dense } });
    }

    [Fact]
    public void CopyTo_EveryProperty_IsCopied()
    {
        var source = new LlmEngineOptions
        {
            ModelPath = "p",
            ModelId = "m",
            Device = "cuda",
            LibTorchPath = "l",
            WeightType = WeightType.Float16,
            ContextTokens = 1,
            MaxSequences = 2,
            MaxQueuedRequests = 7,
            MaxQueueTime = TimeSpan.FromSeconds(8),
            PrefillChunkTokens = 3,
            Threads = 4,
            ToolCallFormat = ToolCallFormat.Llama3Json,
            AttentionBackend = AttentionBackend.Torch,
            KvCache = { Kind = KvCacheKind.Dense, Window = 32, MemoryBytes = 5, RetainedConversations = 6 },
        };
        var target = new LlmEngineOptions();

        source.CopyTo(target);

        target.ShouldBe(source);
        foreach (var property in typeof(LlmEngineOptions).GetProperties().Where(p => p.CanWrite))
            property.GetValue(source).ShouldNotBe(property.GetValue(new LlmEngineOptions()), $"the test must set {property.Name}");
    }

    [Fact]
    public async Task AddLogQuantChatCompletion_MoreConfiguration_CompletesTheOptions()
    {
        var services = Services().AddLogQuantChatCompletion(Folder, "a");
        services.Configure<LlmEngineOptions>("a", o => o.ContextTokens = 77);
        await using var provider = services.BuildServiceProvider();

        await provider.GetRequiredKeyedService<IChatCompletionService>("a").GetChatMessageContentAsync("Hello");

        _loaded.Single().ContextTokens.ShouldBe(77);
    }

    [Fact]
    public void Resolve_SeveralWrongOptions_AreReportedAtOnce()
    {
        using var provider = Services().AddLogQuantChatCompletion(o =>
        {
            o.ModelPath = "/no/such/model";
            o.MaxSequences = 0;
            o.ContextTokens = -1;
            o.KvCache = null!;
        }).BuildServiceProvider();

        var error = Should.Throw<OptionsValidationException>(() => provider.GetRequiredService<IChatCompletionService>());

        error.Failures.Count().ShouldBe(4);
        error.Message.ShouldContain("/no/such/model");
        error.Message.ShouldContain("MaxSequences is 0");
        error.Message.ShouldContain("ContextTokens is -1");
        error.Message.ShouldContain("KvCache is null");
    }

    [Fact]
    public void AddLogQuantChatCompletion_BlankPath_IsAnError() =>
        Should.Throw<ArgumentException>(() => new ServiceCollection().AddLogQuantChatCompletion(" "));

    [Fact]
    public async Task KernelBuilder_AllServices_AreFound()
    {
        var builder = Kernel.CreateBuilder();
        foreach (var service in Services())
            builder.Services.Add(service);
        builder.AddLogQuantEngine(Folder).AddLogQuantChatCompletion(Folder).AddLogQuantChatClient(Folder).AddLogQuantChatCompletion(Folder, "keyed");
        var kernel = builder.Build();

        (await kernel.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("Hello")).Content.ShouldBe("hi");
        (await kernel.GetRequiredService<IChatClient>().GetResponseAsync("Hello")).Text.ShouldBe("hi again");
        kernel.GetRequiredService<IChatCompletionService>("keyed").ShouldNotBeSameAs(kernel.GetRequiredService<IChatCompletionService>());
        _engines.Count.ShouldBe(1);
        await ((ServiceProvider)kernel.Services).DisposeAsync();
        _engines.Single().IsDisposed.ShouldBeTrue();
    }

    [Fact]
    public async Task AddKernel_UnkeyedService_IsTheDefault()
    {
        var services = Services();
        services.AddKernel();
        services.AddLogQuantChatCompletion(Folder);
        await using var provider = services.BuildServiceProvider();

        (await provider.GetRequiredService<Kernel>().InvokePromptAsync<string>("Hello")).ShouldBe("hi");
    }

    [Fact]
    public async Task AddKernel_KeyedService_IsFoundByItsIdInTheSettings()
    {
        var services = Services();
        services.AddKernel();
        services.AddLogQuantChatCompletion(Folder, "a");
        await using var provider = services.BuildServiceProvider();
        var arguments = new KernelArguments(new LogQuantPromptExecutionSettings { ServiceId = "a" });

        (await provider.GetRequiredService<Kernel>().InvokePromptAsync<string>("Hello", arguments)).ShouldBe("hi");
    }
}
