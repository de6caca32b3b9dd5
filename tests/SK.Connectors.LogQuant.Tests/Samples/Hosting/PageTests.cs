using LocalLlm;

namespace SK.Connectors.LogQuant.Tests.Samples.Hosting;

/// <summary>The page in a real browser.</summary>
public sealed class PageTests
{
    private const string LastAnswer = "[...document.querySelectorAll('.agent')].at(-1)";

    [Fact]
    public async Task Page_Conversation_StreamsStopsAndShowsErrors()
    {
        var gate = new SemaphoreSlim(0);
        int cancelled = 0;
        var engine = new ScriptedEngine(
            Script.Text("One ", "two ", "three."),
            Script.Calls(("c1", "Stock-check", """{"item":"copper valve"}""")), Script.Text("There are 404 <b>units</b>."),
            Script.Text("An answer", " that is stopped"),
            Throw())
        {
            BeforeUpdate = async token =>
            {
                try
                {
                    await gate.WaitAsync(token);
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                    throw;
                }
            },
        };
        await using var host = await RunningHost.StartAsync(engine);
        await using Chromium page = await Chromium.OpenAsync(host.Client.BaseAddress!);
        string folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "logquant-page")).FullName;

        await page.UntilAsync("document.getElementById('status')?.textContent.includes('ready')");
        await SayAsync(page, "Hi");
        gate.Release(2);

        // The answer appears while it comes.
        await page.UntilAsync($"{LastAnswer}?.textContent === 'One two '");
        await page.UntilAsync("!document.getElementById('stop').hidden && document.getElementById('send').hidden");
        gate.Release(2);
        await page.UntilAsync($"{LastAnswer}?.textContent === 'One two three.' && document.getElementById('stop').hidden");
        await page.UntilAsync("document.getElementById('usage').value.includes('60 of them cached') && document.getElementById('usage').value.includes('4.9 KiB')");

        // Tools are shown; what the model writes is text, not markup.
        gate.Release(4);
        await SayAsync(page, "How many?");
        await page.UntilAsync($"{LastAnswer}?.querySelector('.answer')?.textContent === 'There are 404 <b>units</b>.' && document.getElementById('stop').hidden");
        await page.UntilAsync($"{LastAnswer}.querySelector('.tool').textContent.includes('Stock-check(item: copper valve) → 404 units')");

        // Stopping ends the generation and leaves the conversation as it was.
        await SayAsync(page, "More");
        gate.Release(1);
        await page.UntilAsync($"{LastAnswer}?.textContent === 'An answer'");
        await page.EvaluateAsync("document.getElementById('stop').click()");
        await page.UntilAsync($"{LastAnswer}?.textContent.includes('Stopped')");
        SpinWait.SpinUntil(() => Volatile.Read(ref cancelled) > 0, TimeSpan.FromSeconds(30)).ShouldBeTrue();

        gate.Release(1);
        await SayAsync(page, "And now");
        await page.UntilAsync($"{LastAnswer}?.classList.contains('error') && {LastAnswer}.textContent.includes('The engine broke.')");
        engine.Requests[^1].Turns.Where(t => t.Role == ChatRole.User).Select(t => t.Content).ShouldBe(["Hi", "How many?", "And now"]);

        foreach (string scheme in new[] { "light", "dark" })
        {
            await page.PreferAsync(scheme);
            string picture = Path.Combine(folder, $"{scheme}.png");
            await page.ScreenshotAsync(picture);
            new FileInfo(picture).Length.ShouldBeGreaterThan(5_000);
            TestContext.Current.AddAttachment($"page, {scheme}", await File.ReadAllBytesAsync(picture), "image/png");
            TestContext.Current.TestOutputHelper?.WriteLine(picture);
        }
    }

    private static Task SayAsync(Chromium page, string text) =>
        page.EvaluateAsync($"document.getElementById('text').value = '{text}'; document.getElementById('send').click()");

    private static IEnumerable<GenerationUpdate> Throw()
    {
        yield return new TextDelta("");
        throw new LocalLlmException("The engine broke.");
    }
}
