using LocalLlm.Attention;
using LocalLlm.Chat;
using LocalLlm.Kernels.Cpu;
using LocalLlm.KvCache;
using LocalLlm.Loading;
using LocalLlm.Models;
using LocalLlm.Tokenization;
using static TorchSharp.torch;

namespace LocalLlm.Evaluation.Models;

/// <summary>A loaded model with all that an evaluation needs of it. Used by one thread at a time.</summary>
internal sealed class EvaluatedModel : IDisposable
{
    private EvaluatedModel(
        ModelSource source, string fingerprint, DecoderModel decoder, TextTokenizer tokenizer, ChatFormat? chat, CacheBitsConfig? bits, WorkerTeam team)
    {
        (Source, Fingerprint, Decoder, Tokenizer, Chat) = (source, fingerprint, decoder, tokenizer, chat);
        Attention = new CpuAttention(team);
        var config = decoder.Config;
        Shape = new KvShape(config.Layers, config.KvHeads, config.HeadDim, decoder.Type, decoder.Device, bits);
    }

    /// <summary>Where it came from.</summary>
    public ModelSource Source { get; }

    /// <summary>Its name in tables.</summary>
    public string Name => Source.Name;

    /// <summary>Of its files, and whether it is the stress variant.</summary>
    public string Fingerprint { get; }

    /// <summary>The network.</summary>
    public DecoderModel Decoder { get; }

    /// <summary>Text to ids and back.</summary>
    public TextTokenizer Tokenizer { get; }

    /// <summary>The chat template; null if the folder has none.</summary>
    public ChatFormat? Chat { get; }

    /// <summary>What the model fixes about its caches.</summary>
    public KvShape Shape { get; }

    /// <summary>The attention backend over the run's threads. Its results do not depend on how an append is cut into chunks.</summary>
    public CpuAttention Attention { get; }

    /// <summary>The longest context.</summary>
    public int ContextTokens => Decoder.ContextTokens;

    /// <summary>Loads a model onto the CPU.</summary>
    /// <exception cref="ModelLoadException">Lists all that is wrong with the folder.</exception>
    public static EvaluatedModel Load(ModelSource source, WorkerTeam team, CancellationToken cancellationToken = default)
    {
        using var folder = ModelFolder.Open(source.Folder);
        var tokenizer = folder.Check(() => TextTokenizer.Load(source.Folder));
        var chat = tokenizer is null ? null : folder.Check(() => ChatFormat.TryLoad(source.Folder, tokenizer.SpecialTokenTexts, null));
        var decoder = DecoderModel.Load(folder, CPU, team: team, cancellationToken: cancellationToken);
        try
        {
            if (source.IsStress)
                StressModel.Apply(decoder);
            return new EvaluatedModel(source, source.Fingerprint(), decoder, tokenizer!, chat, folder.CacheBits, team);
        }
        catch
        {
            decoder.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Attention.Dispose();
        Decoder.Dispose();
    }
}
