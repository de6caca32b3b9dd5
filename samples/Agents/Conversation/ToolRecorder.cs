using Microsoft.SemanticKernel;

namespace Agents.Conversation;

/// <summary>Records the tool calls that the kernel carries out, and stops an agent that only ever calls tools.</summary>
internal sealed class ToolRecorder : IAutoFunctionInvocationFilter
{
    /// <summary>Rounds of tool calls in one turn after which the agent is stopped.</summary>
    public const int MaxRounds = 8;

    private Action<ToolUse>? _record;

    /// <summary>Begins a turn.</summary>
    public void Begin(Action<ToolUse> record) => _record = record;

    public async Task OnAutoFunctionInvocationAsync(AutoFunctionInvocationContext context, Func<AutoFunctionInvocationContext, Task> next)
    {
        // The function may change its arguments; what the model asked for is what counts.
        ToolUse use = ToolUse.Create(context.ToolCallId, context.Function.PluginName, context.Function.Name, context.Arguments, null);
        try
        {
            await next(context);
            use = use with { Result = context.Result.ToString() };
        }
        catch (Exception e)
        {
            use = use with { Result = $"error: {e.Message}" };
            throw;
        }
        finally
        {
            _record?.Invoke(use);
            context.Terminate |= context.RequestSequenceIndex + 1 >= MaxRounds;
        }
    }
}
