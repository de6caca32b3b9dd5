using System.Security.Cryptography;
using System.Text;

namespace LocalLlm.Loading;

/// <summary>Tells model folders apart without reading gigabytes: what is kept of a model's work belongs to that model alone.</summary>
internal static class ModelFingerprint
{
    private const int SampledPieces = 256;
    private const int PieceBytes = 4096;

    /// <summary>
    /// SHA-256 of config.json, of the tokenizer's files, and of each weight file's name, length, beginning and pieces at regular distances. Two sets
    /// of weights that differ somewhere differ in nearly every piece.
    /// </summary>
    /// <param name="folder">A model folder.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static byte[] Of(string folder)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var name in new[] { "config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json" })
        {
            if (Path.Combine(folder, name) is var path && File.Exists(path))
                Add(name, File.ReadAllBytes(path));
        }

        var buffer = new byte[PieceBytes];
        foreach (var path in Directory.GetFiles(folder, "*.safetensors").Order(StringComparer.Ordinal))
        {
            using var file = File.OpenHandle(path);
            var length = RandomAccess.GetLength(file);
            Add(Path.GetFileName(path), BitConverter.GetBytes(length));
            for (var piece = 0; piece < SampledPieces; piece++)
            {
                var count = RandomAccess.Read(file, buffer, piece * Math.Max(0, length - PieceBytes) / (SampledPieces - 1));
                hash.AppendData(buffer, 0, count);
            }
        }

        return hash.GetHashAndReset();

        void Add(string name, ReadOnlySpan<byte> content)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(name + "\n"));
            hash.AppendData(BitConverter.GetBytes(content.Length));
            hash.AppendData(content);
        }
    }
}
