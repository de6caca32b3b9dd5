using System.Security.Cryptography;
using System.Text;

namespace LocalLlm.Evaluation.Generation;

/// <summary>Short names of contents, for stored results.</summary>
internal static class FileHash
{
    /// <summary>Eight hexadecimal digits of a text's SHA-256.</summary>
    public static string OfText(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..8];
}
