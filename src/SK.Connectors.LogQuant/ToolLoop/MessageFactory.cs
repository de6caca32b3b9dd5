using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using AI = Microsoft.Extensions.AI;
using FunctionCallContent = Microsoft.SemanticKernel.FunctionCallContent;
using TextContent = Microsoft.SemanticKernel.TextContent;

namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>From the client's answers to Semantic Kernel's messages.</summary>
internal static class MessageFactory
{
    /// <summary>One message for a round's whole answer: reasoning, text, then all calls in order.</summary>
    public static ChatMessageContent Create(ChatResponse response, FunctionOffer offer)
    {
        var ours = response.AdditionalProperties ?? response.Messages.LastOrDefault()?.AdditionalProperties;
        var metadata = Metadata(response.ResponseId, response.CreatedAt, response.ModelId, response.FinishReason, response.Usage, ours);
        var contents = response.Messages.SelectMany(m => m.Contents).ToList();
        var items = new ChatMessageContentItemCollection();

        if (string.Concat(contents.OfType<TextReasoningContent>().Select(r => r.Text)) is { Length: > 0 } reasoning)
            items.Add(new ReasoningContent(reasoning) { ModelId = response.ModelId });
        var calls = contents.OfType<AI.FunctionCallContent>().Select(c => Create(c, offer)).ToList();
        if (response.Text is { } text && (text.Length > 0 || calls.Count == 0))
            items.Add(new TextContent(text, response.ModelId, metadata: metadata));
        foreach (var call in calls)
            items.Add(call);

        return new ChatMessageContent(AuthorRole.Assistant, items, response.ModelId, response, metadata: metadata);
    }

    /// <summary>The same for a part of a streamed answer.</summary>
    public static StreamingChatMessageContent CreateStreaming(ChatResponseUpdate update, int round, ref int callCount, int choice = 0)
    {
        var usage = update.Contents.OfType<UsageContent>().FirstOrDefault()?.Details;
        var metadata = Metadata(update.ResponseId, update.CreatedAt, update.ModelId, update.FinishReason, usage, update.AdditionalProperties);
        var content = new StreamingChatMessageContent(AuthorRole.Assistant, null, update, choice, update.ModelId, metadata: metadata);
        foreach (var part in update.Contents)
        {
            switch (part)
            {
                case AI.TextContent text:
                    content.Items.Add(new StreamingTextContent(text.Text, choice, update.ModelId, metadata: metadata));
                    break;
                case TextReasoningContent reasoning:
                    content.Items.Add(new StreamingReasoningContent(reasoning.Text) { ModelId = update.ModelId, ChoiceIndex = choice });
                    break;
                case AI.FunctionCallContent call:
                    content.Items.Add(new StreamingFunctionCallUpdateContent(call.CallId, call.Name, Arguments(call), callCount++)
                    {
                        RequestIndex = round,
                        ChoiceIndex = choice,
                        ModelId = update.ModelId,
                    });
                    break;
            }
        }
        return content;
    }

    /// <summary>A function's result, which ends a stream when a filter ended the loop. The usage was reported with the call.</summary>
    public static StreamingChatMessageContent CreateStreaming(ChatMessageContent result, ChatMessageContent call)
    {
        var metadata = new Dictionary<string, object?>(call.Metadata!) { [LogQuantMetadata.Usage] = null, [LogQuantMetadata.FinishReason] = null };
        return new StreamingChatMessageContent(result.Role, result.Content, result, modelId: call.ModelId, metadata: metadata);
    }

    private static string Arguments(AI.FunctionCallContent call) => Mapping.CallArguments.ToJson(call.Arguments, call.RawRepresentation);

    private static FunctionCallContent Create(AI.FunctionCallContent call, FunctionOffer offer)
    {
        var (pluginName, functionName) = offer.Find(call.Name) is { } function
            ? (function.PluginName, function.Name)
            : FunctionNames.Split(call.Name);
        KernelArguments? arguments = null;
        if (call.Arguments is not null)
        {
            arguments = [];
            foreach (var (name, value) in call.Arguments)
                arguments[name] = offer.Options.RetainArgumentTypes ? value : value?.ToString();
        }
        return new FunctionCallContent(functionName, pluginName, call.CallId, arguments)
        {
            Exception = call.Exception is { } cause
                ? new KernelException("The function call's arguments are not a valid JSON object.", cause)
                : null,
            InnerContent = call.RawRepresentation,
        };
    }

    private static Dictionary<string, object?> Metadata(
        string? id, DateTimeOffset? createdAt, string? modelId, ChatFinishReason? finishReason, UsageDetails? usage,
        AdditionalPropertiesDictionary? ours)
    {
        var metadata = new Dictionary<string, object?>();
        foreach (var (key, value) in ours ?? [])
            metadata[key] = value;
        metadata[LogQuantMetadata.Id] = id;
        metadata[LogQuantMetadata.CreatedAt] = createdAt;
        metadata[LogQuantMetadata.ModelId] = modelId;
        metadata[LogQuantMetadata.FinishReason] = finishReason?.Value;
        metadata[LogQuantMetadata.Usage] = usage;
        return metadata;
    }
}
