using System.Text.Json;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using LocalLlm.Benchmarks;
using LocalLlm.Benchmarks.Comparisons;
using LocalLlm.Benchmarks.Sizing;
using LocalLlm.Interop;

// Every comparison prints ratios taken in one run: what it is compared with runs in turns with it, in the same process, with the same threads.
try
{
    var arguments = new Arguments(args);
    if (arguments.Command is "micro")
    {
        // In this process: libtorch is loaded once, and no project is generated that would need the repository's settings.
        var config = DefaultConfig.Instance.AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance)).WithArtifactsPath(Path.Combine("artifacts", "benchmarks"));
        BenchmarkSwitcher.FromAssembly(typeof(Arguments).Assembly).Run(arguments.Rest, config);
        return 0;
    }

    if (arguments.Command is SizingTable.Command && !arguments.WantsHelp)
    {
        arguments.RequireNothingLeft();
        LibTorch.EnsureLoaded();
        Console.Write(SizingTable.ToMarkdown());
        return 0;
    }

    if (arguments.Command is "soak" or "fuzz" && !arguments.WantsHelp)
    {
        await EnduranceRun.RunAsync(arguments);
        return 0;
    }

    IComparison? comparison = arguments.Command switch
    {
        "attention" => AttentionComparison.Parse(arguments),
        "batch" => BatchComparison.Parse(arguments),
        "constraints" => ConstraintComparison.Parse(arguments),
        "decode" => DecodeComparison.Parse(arguments),
        "gpu" => GpuComparison.Parse(arguments),
        "linear" => LinearComparison.Parse(arguments),
        "quantize" => QuantizeComparison.Parse(arguments),
        "reuse" => ReuseComparison.Parse(arguments),
        "serve" => ServeComparison.Parse(arguments),
        _ => null,
    };
    if (comparison is null || arguments.WantsHelp)
    {
        Console.Error.WriteLine(Arguments.Help);
        return arguments.WantsHelp ? 0 : 2;
    }

    arguments.RequireNothingLeft();
    LibTorch.EnsureLoaded();
    if (comparison is GpuComparison && GpuComparison.Missing() is { } reason)
    {
        Console.Error.WriteLine(reason);
        return 2;
    }

    using var machine = new Machine(arguments.Threads);
    var table = comparison.Run(machine);
    Console.WriteLine(arguments.Json ? JsonSerializer.Serialize(table.Rows, Table.JsonOptions) : table.ToText());
    return 0;
}
catch (ArgumentException e)
{
    Console.Error.WriteLine(e.Message);
    Console.Error.WriteLine(Arguments.Help);
    return 2;
}
catch (LocalLlm.Soak.SoakException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
catch (LocalLlm.LocalLlmException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
