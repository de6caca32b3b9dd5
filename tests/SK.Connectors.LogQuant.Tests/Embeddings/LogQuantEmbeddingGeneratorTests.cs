using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;
using Shouldly;
using SK.Connectors.LogQuant.Engines;
using SK.Connectors.LogQuant.Tests.RealEngine;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.Embeddings;

public sealed class LogQuantEmbeddingGeneratorTests
{
    [Fact]
    public async Task Generate_Options_ReachTheEngine()
    {
        await using var engine = new EmbeddingEngine();
        using var generator = new LogQuantEmbeddingGenerator(engine);

        var result = await generator.GenerateAsync(["one", "three"], new EmbeddingGenerationOptions
        {
            Dimensions = 2,
            ModelId = "embedding",
            AdditionalProperties = new() { ["prompt_name"] = "query" },
            RawRepresentationFactory = _ => new EmbeddingOptions { Pooling = EmbeddingPooling.Mean, Dimensions = 3, Normalize = false },
        });

        engine.Options.ShouldBe(new EmbeddingOptions { Pooling = EmbeddingPooling.Mean, Dimensions = 2, Normalize = false, PromptName = "query" });
        result.Select(e => e.Vector.ToArray()).ShouldBe([[3f], [5f]]);
        result.ShouldAllBe(e => e.ModelId == "embedding" && e.CreatedAt != null);
        (result.Usage!.InputTokenCount, result.Usage.TotalTokenCount).ShouldBe((8, 8));
    }

    [Fact]
    public async Task Generate_WhatCannotBeHonoured_IsAnError()
    {
        await using var engine = new EmbeddingEngine();
        using var generator = new LogQuantEmbeddingGenerator(engine);

        (await Should.ThrowAsync<ArgumentException>(() => generator.GenerateAsync(["a"], new() { ModelId = "other" }))).Message.ShouldContain("'embedding'");
        (await Should.ThrowAsync<NotSupportedException>(() => generator.GenerateAsync(["a"], new() { AdditionalProperties = new() { ["user"] = "x" } })))
            .Message.ShouldContain("'user'");
        await Should.ThrowAsync<NotSupportedException>(() => generator.GenerateAsync(["a"], new() { RawRepresentationFactory = _ => "x" }));
        await using var scripted = new ScriptedEngine();
        Should.Throw<ArgumentException>(() => new LogQuantEmbeddingGenerator(scripted)).Message.ShouldContain("cannot embed");
    }

    [Fact]
    public async Task GetService_KnownTypes_AreFound()
    {
        await using var engine = new EmbeddingEngine();
        using var generator = new LogQuantEmbeddingGenerator(engine);

        var metadata = (EmbeddingGeneratorMetadata)generator.GetService(typeof(EmbeddingGeneratorMetadata))!;
        (metadata.ProviderName, metadata.DefaultModelId, metadata.DefaultModelDimensions).ShouldBe(("logquant", "embedding", 4));
        generator.GetService(typeof(ITextEmbedder)).ShouldBeSameAs(engine);
        generator.GetService(typeof(LogQuantEmbeddingGenerator)).ShouldBeSameAs(generator);
        generator.GetService(typeof(string)).ShouldBeNull();
        generator.GetService(typeof(ILlmEngine), "key").ShouldBeNull();
    }

    [Fact]
    public async Task AddLogQuantEmbeddingGenerator_EveryOverload_SharesTheEngineOfItsKey()
    {
        var folder = AppContext.BaseDirectory;
        var loads = 0;
        var builder = Kernel.CreateBuilder();
        builder.Services.AddSingleton<EngineLoader>((_, _, _) =>
        {
            loads++;
            return Task.FromResult<ILlmEngine>(new EmbeddingEngine());
        });
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create("ModelPath", (string?)folder)]).Build();
        builder.AddLogQuantChatCompletion(folder).AddLogQuantEmbeddingGenerator(folder)
            .AddLogQuantEmbeddingGenerator(new LlmEngineOptions { ModelPath = folder }, "b").AddLogQuantEmbeddingGenerator(o => o.ModelPath = folder, "c")
            .AddLogQuantEmbeddingGenerator(configuration, "d").AddLogQuantEmbeddingGenerator(_ => new EmbeddingEngine(), "e");
        builder.Services.AddLogQuantEmbeddingGenerator(folder, "f").AddLogQuantEmbeddingGenerator(new LlmEngineOptions { ModelPath = folder }, "g")
            .AddLogQuantEmbeddingGenerator(o => o.ModelPath = folder, "h").AddLogQuantEmbeddingGenerator(configuration, "i")
            .AddLogQuantEmbeddingGenerator(_ => new EmbeddingEngine(), "j");
        var kernel = builder.Build();

        foreach (var key in new[] { null, "b", "c", "d", "e", "f", "g", "h", "i", "j" })
        {
            var generator = kernel.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>(key);
            (await generator.GenerateVectorAsync("four")).ToArray().ShouldBe([4f], key);
        }

        // The borrowed engines of e and j are not loaded.
        loads.ShouldBe(8);
        kernel.GetRequiredService<ILlmEngine>().Model.ModelId.ShouldBe("embedding");
        loads.ShouldBe(8);
        await ((ServiceProvider)kernel.Services).DisposeAsync();
    }

    [Fact]
    public async Task Generate_LoadedEngineCannotEmbed_SaysSo()
    {
        var services = new ServiceCollection().AddSingleton<EngineLoader>((_, _, _) => Task.FromResult<ILlmEngine>(new ScriptedEngine()))
            .AddLogQuantEmbeddingGenerator(AppContext.BaseDirectory);
        await using var provider = services.BuildServiceProvider();

        var error = await Should.ThrowAsync<NotSupportedException>(
            () => provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>().GenerateAsync(["a"]));

        error.Message.ShouldContain("cannot embed");
    }

    [Fact]
    public async Task Generate_RealModel_SameTextsAreCloserThanOthersAndChatGoesOn()
    {
        var path = RealModels.RequireDemoModel();
        await using var provider = new ServiceCollection().AddLogQuantChatClient(path).AddLogQuantEmbeddingGenerator(path).BuildServiceProvider();
        var generator = provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>();
        var chat = provider.GetRequiredService<IChatClient>();

        var answer = chat.GetResponseAsync("Hello", new ChatOptions { MaxOutputTokens = 8, Temperature = 0 });
        var vectors = (await generator.GenerateAsync(["Set the lamp to 3.", "Good morning", "Set the lamp to 3."])).Select(e => e.Vector.ToArray()).ToList();

        (await answer).Usage!.OutputTokenCount!.Value.ShouldBeGreaterThan(0);
        Cosine(vectors[0], vectors[2]).ShouldBe(1, 1e-4);
        Cosine(vectors[0], vectors[1]).ShouldBeLessThan(0.9999);
        var metadata = (EmbeddingGeneratorMetadata)generator.GetService(typeof(EmbeddingGeneratorMetadata))!;
        metadata.DefaultModelDimensions.ShouldBe(vectors[0].Length);
    }

    private static double Cosine(float[] a, float[] b) => a.Zip(b, (x, y) => (double)x * y).Sum();

    /// <summary>An engine whose vector of a text is the text's length.</summary>
    private sealed class EmbeddingEngine : ILlmEngine, ITextEmbedder
    {
        public EmbeddingOptions? Options { get; private set; }

        public LlmModelInfo Model { get; } = new ScriptedEngine().Model with { ModelId = "embedding" };

        public int EmbeddingDimensions => 4;

        public Task<EmbeddingResult> EmbedAsync(IReadOnlyList<string> texts, EmbeddingOptions? options = null, CancellationToken cancellationToken = default)
        {
            Options = options;
            return Task.FromResult(new EmbeddingResult([.. texts.Select(t => new ReadOnlyMemory<float>([t.Length]))], texts.Sum(t => t.Length)));
        }

        public IAsyncEnumerable<GenerationUpdate> GenerateAsync(GenerationRequest request, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
