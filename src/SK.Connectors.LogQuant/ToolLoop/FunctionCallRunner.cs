using Microsoft.Extensions.Logging;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using SK.Connectors.LogQuant.Mapping;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>Calls the functions of one round and adds the calls and their results to the history.</summary>
internal sealed class FunctionCallRunner(
    Kernel kernel, FunctionOffer offer, LogQuantPromptExecutionSettings settings, ChatHistory history, bool isStreaming, ILogger logger)
{
    /// <summary>How deep automatic calls may nest when a function itself asks the model with automatic calls.</summary>
    public const int MaxDepth = 128;

    private static readonly AsyncLocal<int> Depth = new();

    public static bool IsNestedTooDeep => Depth.Value >= MaxDepth;

    /// <summary>
    /// Adds <paramref name="message"/> with its calls, then one tool message for each result, in the order of the calls.
    /// Returns the last message if a filter ended the loop.
    /// </summary>
    /// <remarks>When it is cancelled every call has a result nevertheless, so that the history can be gone on with.</remarks>
    public async Task<ChatMessageContent?> RunAsync(ChatMessageContent message, int round, CancellationToken cancellationToken)
    {
        history.Add(message);
        var calls = FunctionCallContent.GetFunctionCalls(message).ToArray();
        return offer.Options.AllowConcurrentInvocation && calls.Length > 1
            ? await CallAllAsync(message, calls, round, cancellationToken).ConfigureAwait(false)
            : await CallEachAsync(message, calls, round, cancellationToken).ConfigureAwait(false);
    }

    private async Task<ChatMessageContent?> CallAllAsync(
        ChatMessageContent message, FunctionCallContent[] calls, int round, CancellationToken cancellationToken)
    {
        var tasks = calls.Select((_, i) => CallAsync(message, calls, i, round, cancellationToken)).ToArray();
        try
        {
            return (await Task.WhenAll(tasks).ConfigureAwait(false)).Any(r => r.Terminate) ? tasks[^1].Result.Message : null;
        }
        finally
        {
            for (var i = 0; i < calls.Length; i++)
                history.Add(tasks[i].IsCompletedSuccessfully ? tasks[i].Result.Message : Cancelled(calls[i]));
        }
    }

    private async Task<ChatMessageContent?> CallEachAsync(
        ChatMessageContent message, FunctionCallContent[] calls, int round, CancellationToken cancellationToken)
    {
        for (var i = 0; i < calls.Length; i++)
        {
            try
            {
                var result = await CallAsync(message, calls, i, round, cancellationToken).ConfigureAwait(false);
                history.Add(result.Message);
                if (result.Terminate)
                    return result.Message;
            }
            catch (OperationCanceledException)
            {
                history.AddRange(calls[i..].Select(Cancelled));
                throw;
            }
        }
        return null;
    }

    private static ChatMessageContent Cancelled(FunctionCallContent call) => ToolMessage(call, "Error: the call was cancelled.");

    private async Task<(ChatMessageContent Message, bool Terminate)> CallAsync(
        ChatMessageContent message, FunctionCallContent[] calls, int index, int round, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var call = calls[index];
        var name = FunctionNames.Join(call.PluginName, call.FunctionName);
        if (Refusal(call, name, out var function) is { } refusal)
        {
            Log.FunctionFailed(logger, call.Exception, name);
            return (ToolMessage(call, refusal), false);
        }

        Log.CallingFunction(logger, name, index + 1, calls.Length, round);
        var unset = new FunctionResult(function!) { Culture = kernel.Culture };
        var context = new AutoFunctionInvocationContext(kernel, function!, unset, history, message)
        {
            CallContent = new Microsoft.Extensions.AI.FunctionCallContent(call.Id ?? "", name, call.Arguments),
            Arguments = call.Arguments ?? [],
            RequestSequenceIndex = round,
            FunctionSequenceIndex = index,
            FunctionCount = calls.Length,
            ExecutionSettings = settings,
            IsStreaming = isStreaming,
            CancellationToken = cancellationToken,
        };
        string text;
        try
        {
            // An AsyncLocal set here is seen by the function and forgotten when this method returns.
            Depth.Value++;
            await InvokeAsync(context, filterIndex: 0).ConfigureAwait(false);
            text = FunctionResultText.Of(context.Result.GetValue<object>());
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            Log.FunctionFailed(logger, e, name);
            text = ResultText.Error(e);
        }
        return (ToolMessage(call, text), context.Terminate);
    }

    /// <summary>Why a call cannot be made, for the model to read; null if it can.</summary>
    private string? Refusal(FunctionCallContent call, string name, out KernelFunction? function)
    {
        function = null;
        if (call.Exception is not null)
            return $"Error: {call.Exception.Message} Correct it and call again.";
        if (offer.Find(call.PluginName, call.FunctionName) is null)
        {
            return offer.IsEmpty
                ? "Error: no functions can be called any more. Answer with what is known."
                : $"Error: there is no function '{name}'. Call one of the functions that were offered.";
        }
        return kernel.Plugins.TryGetFunction(call.PluginName, call.FunctionName, out function)
            ? null
            : $"Error: the function '{name}' is not available.";
    }

    /// <summary>The kernel's filters, each around the next, and the function in their midst.</summary>
    private static async Task InvokeAsync(AutoFunctionInvocationContext context, int filterIndex)
    {
        var filters = context.Kernel.AutoFunctionInvocationFilters;
        if (filterIndex < filters.Count)
        {
            await filters[filterIndex].OnAutoFunctionInvocationAsync(context, next => InvokeAsync(next, filterIndex + 1)).ConfigureAwait(false);
            return;
        }
        if (context.Terminate)
            return;
        // The settings of this request are not passed on: a prompt function brings its own.
        context.Result = await context.Function.InvokeAsync(context.Kernel, context.Arguments, context.CancellationToken).ConfigureAwait(false);
    }

    private static ChatMessageContent ToolMessage(FunctionCallContent call, string result)
    {
        var message = new ChatMessageContent(AuthorRole.Tool, result);
        message.Items.Add(new FunctionResultContent(call.FunctionName, call.PluginName, call.Id, result));
        return message;
    }
}
