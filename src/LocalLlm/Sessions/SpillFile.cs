using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace LocalLlm.Sessions;

/// <summary>What the beginning of a spill file says.</summary>
/// <param name="Fingerprint">Of the model and the cache's format; 32 bytes.</param>
/// <param name="Name">The name under which a conversation was saved; null if it left memory by itself.</param>
/// <param name="Tokens">The tokens that the cache holds, in order.</param>
/// <param name="ContentBytes">Bytes of the cache's content.</param>
internal sealed record SpillHeader(byte[] Fingerprint, string? Name, int[] Tokens, long ContentBytes);

/// <summary>
/// A cache in a file. Little-endian: magic, version, fingerprint (32 bytes), counts of bytes of the name (−1 for none), of tokens, of bytes of the
/// content; the name in UTF-8, the tokens as int32, SHA-256 of all before; the content, SHA-256 of the content.
/// </summary>
internal static class SpillFile
{
    /// <summary>The end of a spill file's name.</summary>
    public const string Extension = ".kvcache";

    /// <summary>The end of the name of a file that is being written.</summary>
    public const string PartExtension = ".part";

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private const int Version = 1;
    /// <summary>The most bytes of a name.</summary>
    public const int MaxNameBytes = 4096;

    private const int FixedBytes = 8 + sizeof(int) + SHA256.HashSizeInBytes + sizeof(int) + sizeof(int) + sizeof(long);
    private static ReadOnlySpan<byte> Magic => "LQKVFILE"u8;

    /// <summary>Bytes of a file.</summary>
    public static long Bytes(SpillHeader header) => HeaderBytes(header) + header.ContentBytes + SHA256.HashSizeInBytes;

    /// <summary>False for a name with half of a surrogate pair, which UTF-8 cannot keep apart from others.</summary>
    public static bool IsText(string name)
    {
        try
        {
            _ = StrictUtf8.GetByteCount(name);
            return true;
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    /// <summary>Bytes of a name.</summary>
    public static int NameBytes(string name) => Encoding.UTF8.GetByteCount(name);

    /// <summary>Writes a file whole or not at all; only its owner can read it.</summary>
    /// <param name="path">Where; a file there is replaced.</param>
    /// <param name="header">What it holds.</param>
    /// <param name="content">The content, read from its beginning.</param>
    /// <exception cref="IOException">It cannot be written; nothing stays behind.</exception>
    public static void Write(string path, SpillHeader header, Stream content)
    {
        var part = $"{path}.{Guid.NewGuid():N}{PartExtension}";
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using (var file = new FileStream(part, options))
            {
                file.Write(Encode(header));
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                var buffer = new byte[1 << 20];
                content.Position = 0;
                for (var left = header.ContentBytes; left > 0;)
                {
                    var count = content.Read(buffer, 0, (int)Math.Min(left, buffer.Length));
                    if (count == 0)
                        throw new EndOfStreamException($"The content ends {left} bytes before its length of {header.ContentBytes}.");
                    hash.AppendData(buffer, 0, count);
                    file.Write(buffer, 0, count);
                    left -= count;
                }

                file.Write(hash.GetHashAndReset());
                file.Flush(flushToDisk: true); // a name must not stand for content that a power cut took
            }

            File.Move(part, path, overwrite: true);
        }
        catch
        {
            File.Delete(part);
            throw;
        }
    }

    /// <summary>Reads what a file says it holds, without its content.</summary>
    /// <returns>The header; null for a file of another kind or version, which is somebody else's.</returns>
    /// <exception cref="InvalidDataException">The file is one of ours but damaged, or not whole.</exception>
    public static SpillHeader? ReadHeader(Stream file)
    {
        var start = new byte[FixedBytes];
        var count = file.ReadAtLeast(start, FixedBytes, throwOnEndOfStream: false);
        if (count < Magic.Length || !start.AsSpan().StartsWith(Magic))
            return null;
        if (count < FixedBytes)
            throw new InvalidDataException("it ends in its header");
        var rest = start.AsSpan(Magic.Length);
        if (BinaryPrimitives.ReadInt32LittleEndian(rest) != Version)
            return null;
        var fingerprint = rest.Slice(sizeof(int), SHA256.HashSizeInBytes).ToArray();
        rest = rest[(sizeof(int) + SHA256.HashSizeInBytes)..];
        var nameBytes = BinaryPrimitives.ReadInt32LittleEndian(rest);
        var tokenCount = BinaryPrimitives.ReadInt32LittleEndian(rest[4..]);
        var contentBytes = BinaryPrimitives.ReadInt64LittleEndian(rest[8..]);
        var size = FixedBytes + (long)Math.Max(nameBytes, 0) + (sizeof(int) * (long)tokenCount) + SHA256.HashSizeInBytes;
        if (nameBytes is < -1 or > MaxNameBytes || tokenCount < 0 || contentBytes < 0 || size + contentBytes + SHA256.HashSizeInBytes != file.Length)
            throw new InvalidDataException($"its header does not fit its length of {file.Length:N0} bytes");

        var header = new byte[size];
        start.CopyTo(header, 0);
        file.ReadExactly(header.AsSpan(FixedBytes));
        if (!SHA256.HashData(header.AsSpan(..^SHA256.HashSizeInBytes)).AsSpan().SequenceEqual(header.AsSpan(^SHA256.HashSizeInBytes..)))
            throw new InvalidDataException("its header is damaged (checksum)");
        var name = nameBytes < 0 ? null : Encoding.UTF8.GetString(header, FixedBytes, nameBytes);
        var tokens = new int[tokenCount];
        var bytes = header.AsSpan(FixedBytes + Math.Max(nameBytes, 0));
        for (var i = 0; i < tokens.Length; i++)
            tokens[i] = BinaryPrimitives.ReadInt32LittleEndian(bytes[(i * sizeof(int))..]);
        return new SpillHeader(fingerprint, name, tokens, contentBytes);
    }

    /// <summary>Reads the content that follows the header.</summary>
    /// <param name="file">A file whose header was read.</param>
    /// <param name="header">The header.</param>
    /// <param name="content">Receives the content; its position is then 0.</param>
    /// <exception cref="InvalidDataException">The content is damaged.</exception>
    public static void ReadContent(Stream file, SpillHeader header, Stream content)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 20];
        for (var left = header.ContentBytes; left > 0;)
        {
            var count = (int)Math.Min(left, buffer.Length);
            file.ReadExactly(buffer, 0, count);
            hash.AppendData(buffer, 0, count);
            content.Write(buffer, 0, count);
            left -= count;
        }

        var expected = new byte[SHA256.HashSizeInBytes];
        file.ReadExactly(expected);
        if (!hash.GetHashAndReset().AsSpan().SequenceEqual(expected))
            throw new InvalidDataException("its content is damaged (checksum)");
        content.Position = 0;
    }

    private static int HeaderBytes(SpillHeader header) =>
        FixedBytes + (header.Name is null ? 0 : Encoding.UTF8.GetByteCount(header.Name)) + (sizeof(int) * header.Tokens.Length) + SHA256.HashSizeInBytes;

    private static byte[] Encode(SpillHeader header)
    {
        var bytes = new byte[HeaderBytes(header)];
        var writer = new BinaryWriter(new MemoryStream(bytes));
        writer.Write(Magic);
        writer.Write(Version);
        writer.Write(header.Fingerprint);
        writer.Write(header.Name is null ? -1 : Encoding.UTF8.GetByteCount(header.Name));
        writer.Write(header.Tokens.Length);
        writer.Write(header.ContentBytes);
        writer.Write(Encoding.UTF8.GetBytes(header.Name ?? ""));
        foreach (var token in header.Tokens)
            writer.Write(token);
        writer.Write(SHA256.HashData(bytes.AsSpan(..^SHA256.HashSizeInBytes)));
        return bytes;
    }
}
