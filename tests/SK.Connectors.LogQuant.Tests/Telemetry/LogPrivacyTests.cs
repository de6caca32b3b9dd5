using LocalLlm;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using Microsoft.SemanticKernel.TextGeneration;
using SK.Connectors.LogQuant.Tests.Hosting;
using SK.Connectors.LogQuant.Tests.RealEngine;
using SK.Connectors.LogQuant.Tests.ToolLoop;

namespace SK.Connectors.LogQuant.Tests.Telemetry;

/// <summary>What people and models say to each other is in no log but that of level Trace.</summary>
public sealed class LogPrivacyTests : IDisposable
{
    private readonly ListLoggerProvider _log = new();

    public void Dispose() => _log.Dispose();

    [Theory]
    [InlineData(LogLevel.Debug, false)]
    [InlineData(LogLevel.Trace, true)] // to prove that the test would see it
    public async Task Conversation_ThroughAllServices_IsNotLoggedAtDebug(LogLevel level, bool isLogged)
    {
        var engine = new ScriptedEngine(
            Script.Calls(("1", "Clock-Time", """{"city": "Atlantis"}"""), ("2", "Clock-Fail", "{}")), Script.Text("It is quarter past zwölf."),
            Script.Text("It is quarter past zwölf."), Script.Text("It is quarter past zwölf."));
        await using var services = Services(s => s.AddLogQuantEngine(_ => engine).AddLogQuantChatCompletion(p => p.GetRequiredService<ILlmEngine>())
            .AddLogQuantChatClient(p => p.GetRequiredService<ILlmEngine>()), level);
        var (kernel, _) = ClockPlugin.Kernel();
        var settings = new LogQuantPromptExecutionSettings { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };

        await services.GetRequiredService<IChatCompletionService>().GetChatMessageContentAsync("My secret is Rumpelstilzchen.", settings, kernel);
        await services.GetRequiredService<IChatClient>().GetResponseAsync("My secret is Rumpelstilzchen.");
        await services.GetRequiredService<ITextGenerationService>().GetTextContentsAsync("My secret is Rumpelstilzchen.");

        var said = new[] { "Rumpelstilzchen", "Atlantis", "zwölf" };
        _log.Texts.ShouldNotBeEmpty();
        _log.Texts.Any(t => said.Any(w => t.Contains(w, StringComparison.OrdinalIgnoreCase))).ShouldBe(isLogged, string.Join('\n', _log.Texts));
    }

    [Fact]
    public async Task Conversation_WithTheModelThatShips_IsNotLoggedAtDebug()
    {
        await using var services = Services(
            s => s.AddLogQuantChatClient(o => (o.ModelPath, o.Threads) = (RealModels.RequireDemoModel(), 1)), LogLevel.Debug);

        var answer = await services.GetRequiredService<IChatClient>().GetResponseAsync(
            "Hello, my name is Rumpelstilzchen!", new ChatOptions { Temperature = 0, MaxOutputTokens = 30 });

        answer.Text.ShouldNotBeEmpty();
        _log.Texts.ShouldNotBeEmpty();
        _log.Texts.ShouldAllBe(t => !t.Contains("Rumpelstilzchen") && !t.Contains(answer.Text));
    }

    private ServiceProvider Services(Action<IServiceCollection> configure, LogLevel level)
    {
        var services = new ServiceCollection();
        services.AddLogging(b => b.SetMinimumLevel(level).AddProvider(_log));
        configure(services);
        return services.BuildServiceProvider();
    }
}
