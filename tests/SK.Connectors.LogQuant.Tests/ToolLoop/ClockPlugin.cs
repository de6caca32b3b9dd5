using System.ComponentModel;
using Microsoft.SemanticKernel;

namespace SK.Connectors.LogQuant.Tests.ToolLoop;

/// <summary>Functions of several shapes; records its calls.</summary>
internal sealed class ClockPlugin
{
    public List<string> Calls { get; } = [];

    [KernelFunction, Description("The time in a city.")]
    public string Time(string city)
    {
        lock (Calls)
            Calls.Add($"Time({city})");
        return $"noon in {city}";
    }

    [KernelFunction, Description("Adds.")]
    public int Add(int a, int b)
    {
        lock (Calls)
            Calls.Add($"Add({a},{b})");
        return a + b;
    }

    [KernelFunction, Description("Never works.")]
    public string Fail() => throw new InvalidOperationException("the clock is broken");

    [KernelFunction, Description("All that is known.")]
    public object Facts() => new { city = "Zürich", hours = new[] { 1, 2 } };

    public static (Kernel Kernel, ClockPlugin Plugin) Kernel(params IAutoFunctionInvocationFilter[] filters)
    {
        var plugin = new ClockPlugin();
        var kernel = new Kernel();
        kernel.Plugins.AddFromObject(plugin, "Clock");
        foreach (var filter in filters)
            kernel.AutoFunctionInvocationFilters.Add(filter);
        return (kernel, plugin);
    }
}

/// <summary>A filter from a delegate.</summary>
internal sealed class Filter(Func<AutoFunctionInvocationContext, Func<AutoFunctionInvocationContext, Task>, Task> body) : IAutoFunctionInvocationFilter
{
    public Task OnAutoFunctionInvocationAsync(AutoFunctionInvocationContext context, Func<AutoFunctionInvocationContext, Task> next) => body(context, next);
}
