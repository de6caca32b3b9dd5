using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Agents.Conversation;
using Agents.Display;
using Agents.Scoring;
using LocalLlm;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant;

namespace Agents.Scenes;

/// <summary>
/// Fills a record from free text. The response format is the type itself: tokens that would not lead to JSON of its schema are masked, so every answer
/// that comes to its end can be read. Whether it is right is the model's affair.
/// </summary>
internal sealed class ExtractScene : IScene
{
    internal static readonly IReadOnlyList<(string Text, StockChange Expected)> Messages =
    [
        ("We received 25 units of copper valve.", new() { Item = "copper valve", Quantity = 25, Direction = StockDirection.In }),
        ("We used 7 units of steel hinge.", new() { Item = "steel hinge", Quantity = 7, Direction = StockDirection.Out }),
        ("Please add 40 units of rubber gasket.", new() { Item = "rubber gasket", Quantity = 40, Direction = StockDirection.In }),
        ("Remove 12 units of brass nozzle from the stock.", new() { Item = "brass nozzle", Quantity = 12, Direction = StockDirection.Out }),
    ];

    public async Task<SceneResult> RunAsync(SceneContext context)
    {
        await using ILlmEngine engine = await context.LoadEngineAsync();
        Heading.Write(context.Terminal, context.Options, engine.Model, []);
        Kernel kernel = Kernel.CreateBuilder().AddLogQuantChatCompletion(_ => engine).Build();
        var chat = kernel.GetRequiredService<IChatCompletionService>();
        LogQuantPromptExecutionSettings settings = LocalModel.Settings(context.Options);
        settings.FunctionChoiceBehavior = null;
        settings.ResponseFormat = typeof(StockChange);

        var transcript = new Transcript(context.Terminal);
        var usage = new UsageTotals();
        var records = new JsonArray();
        var clock = Stopwatch.StartNew();
        var end = ConversationEnd.Complete;
        int asked = 0, parsed = 0, right = 0;
        try
        {
            foreach ((string text, StockChange expected) in Messages)
            {
                transcript.Line("text", "aqua", text);
                var history = new ChatHistory("You are the assistant of a workshop. Be brief.");
                history.AddUserMessage(text);
                ChatMessageContent answer = await context.Interrupt.RunAsync(token => chat.GetChatMessageContentAsync(history, settings, kernel, token));
                asked++;
                transcript.Line("json", "green", answer.Content ?? "");
                RoundUsage? round = RoundUsage.From(answer.Metadata);
                if (round is not null)
                    usage.Add(round);
                if (round?.FinishReason == "length")
                {
                    // The one way in which JSON can be incomplete, so it is not read as if it were whole.
                    transcript.Line("cut", "yellow", "the answer reached the token limit; --max-tokens raises it");
                    continue;
                }

                StockChange change = JsonSerializer.Deserialize<StockChange>(answer.Content!)!;
                parsed++;
                bool isRight = change == expected;
                right += isRight ? 1 : 0;
                records.Add(JsonSerializer.SerializeToNode(change));
                transcript.Line("record", isRight ? "green" : "red", isRight ? $"{change}" : $"{change}, expected {expected}");
            }
        }
        catch (OperationCanceledException)
        {
            end = ConversationEnd.Cancelled;
        }

        transcript.Note($"{parsed} of {asked} answers are records, {right} with the expected values.");
        return new(end, ResultJson.Of(context.Options, engine.Model, end, clock.Elapsed, new JsonObject
        {
            ["texts"] = asked,
            ["parsed"] = parsed,
            ["values_right"] = right,
            ["records"] = records,
            ["prompt_tokens"] = usage.PromptTokens,
            ["cached_prompt_tokens"] = usage.CachedPromptTokens,
            ["completion_tokens"] = usage.CompletionTokens,
        }));
    }
}
