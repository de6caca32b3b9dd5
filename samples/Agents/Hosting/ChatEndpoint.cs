using Agents.Conversation;
using Agents.Options;
using DemoModel.Dialogues;
using LocalLlm;
using Microsoft.AspNetCore.Http;
using Microsoft.SemanticKernel;

namespace Agents.Hosting;

/// <summary>POST /api/chat: a conversation in, the answer out as server-sent events. Who goes away, or asks to stop, ends the generation.</summary>
/// <param name="options">How to answer.</param>
/// <param name="kernel">The kernel with the model and the workshop's plugins.</param>
/// <param name="engine">The engine behind it.</param>
/// <param name="counts">Counts requests.</param>
internal sealed class ChatEndpoint(SampleOptions options, Kernel kernel, ILlmEngine engine, RequestCounts counts)
{
    /// <summary>Answers a request.</summary>
    public async Task AnswerAsync(HttpContext context)
    {
        counts.Began();
        using var aborted = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        Task turn = Task.CompletedTask;
        try
        {
            ChatRequest request = await ChatRequestReader.ReadAsync(context.Request, aborted.Token);
            var stream = new EventStream();
            turn = Task.Run(() => RunAsync(request, stream, aborted.Token), CancellationToken.None);
            if (await WriteAsync(context.Response, stream, aborted.Token))
                counts.Completed();
            else
                counts.Failed();
        }
        catch (Exception e) when (e is OperationCanceledException || context.RequestAborted.IsCancellationRequested)
        {
            counts.Cancelled();
        }
        catch (ChatRequestException e)
        {
            counts.Failed();
            await ProblemAsync(context, e.Status, e.Message);
        }
        catch (ContextLengthException e)
        {
            counts.Failed();
            await ProblemAsync(context, StatusCodes.Status413PayloadTooLarge, e.Message);
        }
        catch (Exception e) when (e is LocalLlmException or ArgumentException && !context.Response.HasStarted)
        {
            counts.Failed();
            await ProblemAsync(context, e is LocalLlmException ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status400BadRequest, e.Message);
        }
        finally
        {
            // Where writing failed, nobody reads the answer.
            await aborted.CancelAsync();
            await turn.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private async Task RunAsync(ChatRequest request, EventStream stream, CancellationToken cancellationToken)
    {
        try
        {
            AgentSession session = AgentSession.Continue(
                kernel, engine, LocalModel.Settings(options, isRepeatable: options.ModelPath is null), DemoTools.SystemPrompt, request.History);
            counts.Model = session.Model;
            stream.OnDone(await session.AskAsync(request.Text, stream, cancellationToken));
            stream.Complete();
        }
        catch (Exception e)
        {
            stream.Complete(e);
        }
    }

    /// <summary>Writes the events; false if an error was the last.</summary>
    private static async Task<bool> WriteAsync(HttpResponse response, EventStream stream, CancellationToken cancellationToken)
    {
        // An error before anything was said is told by the status.
        if (!await stream.Events.WaitToReadAsync(cancellationToken))
            await stream.Events.Completion;
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        try
        {
            await foreach (ServerEvent item in stream.Events.ReadAllAsync(cancellationToken))
                await WriteAsync(response, item, cancellationToken);
            return true;
        }
        catch (Exception e) when (e is LocalLlmException or KernelException or ArgumentException)
        {
            await WriteAsync(response, EventStream.Error(e.Message), cancellationToken);
            return false;
        }
    }

    private static async Task WriteAsync(HttpResponse response, ServerEvent item, CancellationToken cancellationToken)
    {
        await response.WriteAsync($"event: {item.Name}\ndata: {item.Data}\n\n", cancellationToken);
        await response.Body.FlushAsync(cancellationToken);
    }

    private static Task ProblemAsync(HttpContext context, int status, string message) =>
        Results.Problem(message, statusCode: status).ExecuteAsync(context);
}
