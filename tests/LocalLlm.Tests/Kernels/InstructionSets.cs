using System.Diagnostics;
using System.Text.RegularExpressions;
using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels;

/// <summary>Runs tests of this assembly again in a child process whose runtime has instruction sets switched off, so that each fallback really runs.</summary>
internal static partial class InstructionSets
{
    /// <summary>Tells a child which path its processor must seem to have; also marks it as one, so that it starts none itself.</summary>
    public const string PathVariable = "LOCALLLM_TESTS_SIMD_PATH";

    /// <summary>Whether this process is such a child.</summary>
    public static bool IsChild => Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 };

    /// <summary>Runs the tests of a namespace with settings of the runtime, and requires that there were some and that all passed.</summary>
    /// <param name="testNamespace">The namespace, itself and not those below it.</param>
    /// <param name="widest">The widest path the settings leave, on a processor that has all.</param>
    /// <param name="settings">Environment variables such as DOTNET_EnableAVX512=0.</param>
    /// <returns>How many tests passed.</returns>
    public static int RunTests(string testNamespace, SimdPath widest, params (string Name, string Value)[] settings)
    {
        IsChild.ShouldBeFalse("a child must not start children");
        var host = Path.Combine(AppContext.BaseDirectory, "LocalLlm.Tests" + (OperatingSystem.IsWindows() ? ".exe" : ""));
        var start = new ProcessStartInfo(host)
        {
            ArgumentList = { "-noLogo", "-noColor", "-namespace", testNamespace },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What the test platform tells its own processes is not for the child.
        foreach (var name in start.Environment.Keys.Where(n => n.StartsWith("TESTINGPLATFORM_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(name);
        start.Environment[PathVariable] = (widest < SimdPaths.Best ? widest : SimdPaths.Best).ToString();
        foreach (var (name, value) in settings)
            start.Environment[name] = value;

        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        var summary = SummaryPattern().Match(output);
        var text = $"{string.Join(' ', settings)}\n{output}\n{errors.Result}";
        process.ExitCode.ShouldBe(0, text);
        summary.Success.ShouldBeTrue(text);
        var passed = int.Parse(summary.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        passed.ShouldBeGreaterThan(0, text);
        return passed;
    }

    [GeneratedRegex(@"Total: (\d+), Errors: 0, Failed: 0, Skipped: 0, Not Run: 0")]
    private static partial Regex SummaryPattern();
}
