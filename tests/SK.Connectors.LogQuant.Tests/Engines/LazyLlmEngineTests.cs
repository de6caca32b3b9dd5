using LocalLlm;
using Shouldly;
using SK.Connectors.LogQuant.Engines;
using Xunit;

namespace SK.Connectors.LogQuant.Tests.Engines;

public sealed class LazyLlmEngineTests
{
    private static readonly GenerationRequest Request = new() { Prompt = "x" };

    [Fact]
    public async Task Generate_ManyRequests_LoadOnce()
    {
        var loads = 0;
        var release = new TaskCompletionSource();
        var engine = new ScriptedEngine(Script.Text("a"), Script.Text("b"));
        await using var lazy = new LazyLlmEngine("id", async _ =>
        {
            Interlocked.Increment(ref loads);
            await release.Task;
            return engine;
        });

        var answers = Task.WhenAll(lazy.GenerateAsync(Request).ToListAsync().AsTask(), lazy.GenerateAsync(Request).ToListAsync().AsTask());
        release.SetResult();
        await answers;

        loads.ShouldBe(1);
        engine.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task ModelId_BeforeAndAfterLoading_IsKnown()
    {
        await using var lazy = new LazyLlmEngine("id", _ => Task.FromResult<ILlmEngine>(new ScriptedEngine()));

        lazy.ModelId.ShouldBe("id");
        lazy.LoadedModel.ShouldBeNull();
        lazy.Model.ModelId.ShouldBe("scripted");
        lazy.ModelId.ShouldBe("scripted");
        lazy.LoadedModel.ShouldNotBeNull();
    }

    [Fact]
    public async Task Generate_LoadFails_EachWaiterSeesItAndTheNextRequestTriesAgain()
    {
        var loads = 0;
        await using var lazy = new LazyLlmEngine("id", _ => ++loads == 1
            ? Task.FromException<ILlmEngine>(new ModelLoadException("no tokenizer"))
            : Task.FromResult<ILlmEngine>(new ScriptedEngine(Script.Text("a"))));

        (await Should.ThrowAsync<ModelLoadException>(() => lazy.GenerateAsync(Request).ToListAsync().AsTask())).Errors.ShouldBe(["no tokenizer"]);
        (await lazy.GenerateAsync(Request).ToListAsync()).Count.ShouldBe(2);
    }

    [Fact]
    public async Task Generate_CancelledWhileLoading_LeavesTheLoadToOthers()
    {
        using var cancellation = new CancellationTokenSource();
        var release = new TaskCompletionSource();
        await using var lazy = new LazyLlmEngine("id", async _ =>
        {
            await release.Task;
            return new ScriptedEngine(Script.Text("a"));
        });

        var cancelled = lazy.GenerateAsync(Request, cancellation.Token).ToListAsync().AsTask();
        var other = lazy.GenerateAsync(Request).ToListAsync().AsTask();
        await cancellation.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => cancelled);
        release.SetResult();

        (await other).Count.ShouldBe(2);
    }

    [Fact]
    public async Task Dispose_WhileLoading_CancelsTheLoad()
    {
        var lazy = new LazyLlmEngine("id", async ct =>
        {
            await Task.Delay(Timeout.Infinite, ct);
            return new ScriptedEngine();
        });
        var loading = lazy.LoadedAsync(CancellationToken.None);

        await lazy.DisposeAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => loading);
        await Should.ThrowAsync<ObjectDisposedException>(() => lazy.LoadedAsync(CancellationToken.None));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Dispose_Loaded_DisposesTheEngineOnce(bool synchronously)
    {
        var engine = new ScriptedEngine();
        var lazy = new LazyLlmEngine("id", _ => Task.FromResult<ILlmEngine>(engine));
        await lazy.LoadedAsync(CancellationToken.None);

        if (synchronously)
            lazy.Dispose();
        else
            await lazy.DisposeAsync();
        lazy.Dispose();

        engine.IsDisposed.ShouldBeTrue();
    }

    [Fact]
    public void Dispose_NeverUsed_LoadsNothing()
    {
        var loads = 0;
        var lazy = new LazyLlmEngine("id", _ => Task.FromResult<ILlmEngine>(new ScriptedEngine(Script.Text($"{++loads}"))));

        lazy.Dispose();

        loads.ShouldBe(0);
    }
}
