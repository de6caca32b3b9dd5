using Microsoft.SemanticKernel;

namespace Agents.Hosting;

/// <summary>One tool at a time: all requests share one workshop, which is made for one user.</summary>
internal sealed class SerialTools : IAutoFunctionInvocationFilter, IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);

    public async Task OnAutoFunctionInvocationAsync(AutoFunctionInvocationContext context, Func<AutoFunctionInvocationContext, Task> next)
    {
        await _turn.WaitAsync(context.CancellationToken);
        try
        {
            await next(context);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();
}
