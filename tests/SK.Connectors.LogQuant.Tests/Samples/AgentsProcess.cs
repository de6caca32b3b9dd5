using System.Diagnostics;
using System.Text.Json;

namespace SK.Connectors.LogQuant.Tests.Samples;

/// <summary>Runs the sample as a process of its own, as its user does.</summary>
internal static class AgentsProcess
{
    public static async Task<Ended> RunAsync(string input, params string[] arguments)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Process process = Start(arguments);
        try
        {
            await process.StandardInput.WriteAsync(input.AsMemory(), cancellation);
            process.StandardInput.Close();
            Task<string> error = process.StandardError.ReadToEndAsync(cancellation);
            string output = await process.StandardOutput.ReadToEndAsync(cancellation);
            await process.WaitForExitAsync(cancellation);
            return new(process.ExitCode, output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    public static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "Agents.dll"));
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    public static void RequireModel()
    {
        if (!File.Exists(Path.Combine(AppContext.BaseDirectory, "model", "config.json")))
            Assert.Skip("samples/DemoModel/model is not there: the demo model has not been trained yet.");
    }
}

/// <summary>How the process ended.</summary>
internal sealed record Ended(int ExitCode, string Output, string Error)
{
    /// <summary>The last line, which <c>--json</c> prints.</summary>
    public JsonElement Json => JsonDocument.Parse(Output.TrimEnd().Split('\n')[^1]).RootElement;
}
