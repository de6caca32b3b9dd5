namespace SK.Connectors.LogQuant.Telemetry;

/// <summary>Attributes of metrics and spans.</summary>
internal static class TagNames
{
    public const string Provider = "gen_ai.provider.name";
    public const string Model = "gen_ai.request.model";
    public const string Operation = "gen_ai.operation.name";
    public const string InputTokens = "gen_ai.usage.input_tokens";
    public const string CachedTokens = "gen_ai.usage.cache_read.input_tokens";
    public const string OutputTokens = "gen_ai.usage.output_tokens";
    public const string FinishReasons = "gen_ai.response.finish_reasons";
    public const string ErrorType = "error.type";
    public const string KvBytes = "logquant.kv.bytes";
    public const string StepPart = "logquant.step.part";
    public const string Parameters = "logquant.model.parameters";
    public const string Device = "logquant.model.device";
}
