using LocalLlm.Evaluation.Methods;
using LocalLlm.Evaluation.Models;
using LocalLlm.Interop;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Generation;

/// <summary>
/// What of a run's models and methods the engine itself can run: stress variants and caches that exist only in this project it cannot.
/// </summary>
internal static class EngineMethods
{
    /// <summary>The models; a line on the standard error for each left out.</summary>
    public static IEnumerable<ModelSource> Models(EvaluationRun run, string evaluation)
    {
        foreach (var source in run.Models)
        {
            if (!source.IsStress)
                yield return source;
            else
                Console.Error.WriteLine($"{evaluation}: {source.Name} is left out, because the engine loads no stress variants.");
        }
    }

    /// <summary>The methods, windows chosen for equal bytes over runs of these lengths.</summary>
    /// <param name="run">The run.</param>
    /// <param name="evaluation">The evaluation's name, for the line on the standard error about each method left out.</param>
    /// <param name="shape">Of the model's caches.</param>
    /// <param name="promptTokens">Tokens of a usual prompt.</param>
    /// <param name="answerTokens">Tokens of a usual answer.</param>
    public static IReadOnlyList<Method> Methods(EvaluationRun run, string evaluation, KvShape shape, int promptTokens, int answerTokens)
    {
        var chosen = run.Methods(MethodCatalog.MainFor(shape.Bits)).ToList();
        foreach (var method in chosen.Where(m => !IsOfEngine(m)))
            Console.Error.WriteLine($"{evaluation}: {method.Label} is left out, because the engine has no such cache.");
        return MethodCatalog.EqualBytes([.. chosen.Where(IsOfEngine)], shape, promptTokens + answerTokens, [promptTokens]);
    }

    /// <summary>The shape of a folder's caches, the weights not loaded.</summary>
    /// <exception cref="ModelLoadException">The folder is wrong.</exception>
    public static KvShape Shape(ModelSource source)
    {
        using var folder = ModelFolder.Open(source.Folder);
        folder.ThrowIfInvalid(null);
        var config = folder.Config!;
        LibTorch.EnsureLoaded(); // a torch device is a part of the shape
        return new KvShape(config.Layers, config.KvHeads, config.HeadDim, ScalarType.BFloat16, CPU, folder.CacheBits);
    }

    private static bool IsOfEngine(Method method) => method is { IsReferenceCode: false, ReachStep: null };
}
