using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LocalLlm.Loading;

/// <summary>A memory-mapped safetensors file whose header has been checked, so that every tensor's bytes lie inside it.</summary>
internal sealed class SafetensorsFile : IDisposable
{
    private const int PrefixBytes = 8;
    private readonly MemoryMappedFile map;
    private readonly MemoryMappedViewAccessor view;
    private readonly long dataStart;

    private SafetensorsFile(string path, MemoryMappedFile map, MemoryMappedViewAccessor view, long dataStart, IReadOnlyDictionary<string, StoredTensor> tensors) =>
        (Path, this.map, this.view, this.dataStart, Tensors) = (path, map, view, dataStart, tensors);

    /// <summary>The file's path.</summary>
    public string Path { get; }

    /// <summary>Its tensors by name.</summary>
    public IReadOnlyDictionary<string, StoredTensor> Tensors { get; }

    /// <summary>Opens and checks a file.</summary>
    /// <returns>The file; null if <paramref name="errors"/> got entries about it.</returns>
    public static SafetensorsFile? Open(string path, LoadErrors errors)
    {
        var name = System.IO.Path.GetFileName(path);
        MemoryMappedFile? map = null;
        MemoryMappedViewAccessor? view = null;
        var own = new LoadErrors();
        try
        {
            long length;
            using (var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read))
            {
                length = stream.Length;
                if (length < PrefixBytes)
                {
                    errors.Add($"{name}: the file has {length} bytes; a safetensors file has at least {PrefixBytes}.");
                    return null;
                }

                map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            }

            view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            var tensors = ReadHeader(view, length, name, own, out var dataStart);
            if (!own.Any)
            {
                var file = new SafetensorsFile(path, map, view, dataStart, tensors);
                (map, view) = (null, null);
                return file;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            own.Add($"{name} cannot be read: {e.Message}");
        }
        finally
        {
            view?.Dispose();
            map?.Dispose();
        }

        errors.Add(own);
        return null;
    }

    /// <summary>Copies bytes of a tensor of this file.</summary>
    /// <param name="tensor">One of <see cref="Tensors"/>.</param>
    /// <param name="offset">Where to begin, counted from the tensor's first byte.</param>
    /// <param name="destination">Where they go; as many bytes are read as it holds.</param>
    /// <exception cref="ArgumentOutOfRangeException">The bytes are not all the tensor's.</exception>
    public void Read(StoredTensor tensor, long offset, Span<byte> destination)
    {
        if (!Tensors.TryGetValue(tensor.Name, out var own) || !ReferenceEquals(own, tensor))
            throw new ArgumentException($"The tensor {tensor.Name} is not of the file {Path}.", nameof(tensor));
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, tensor.ByteCount - destination.Length);
        Copy(view, dataStart + tensor.Offset + offset, destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        view.Dispose();
        map.Dispose();
    }

    // ReadSpan checks the bounds, and copies element by element: wide elements make it as fast as the memory, bytes do not.
    private static void Copy(MemoryMappedViewAccessor view, long position, Span<byte> destination)
    {
        var wide = MemoryMarshal.Cast<byte, Vector256<byte>>(destination);
        var wideBytes = wide.Length * Vector256<byte>.Count;
        view.SafeMemoryMappedViewHandle.ReadSpan((ulong)position, wide);
        view.SafeMemoryMappedViewHandle.ReadSpan((ulong)(position + wideBytes), destination[wideBytes..]);
    }

    private static Dictionary<string, StoredTensor> ReadHeader(
        MemoryMappedViewAccessor view, long length, string name, LoadErrors errors, out long dataStart)
    {
        dataStart = 0;
        Span<byte> prefix = stackalloc byte[PrefixBytes];
        view.SafeMemoryMappedViewHandle.ReadSpan(0, prefix);
        var headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerBytes > SafetensorsHeader.MaxHeaderBytes)
        {
            errors.Add($"{name}: the header's length is given as {headerBytes} bytes; the format allows {SafetensorsHeader.MaxHeaderBytes}.");
            return [];
        }

        if ((long)headerBytes > length - PrefixBytes)
        {
            errors.Add($"{name}: the header's length is given as {headerBytes} bytes, but only {length - PrefixBytes} follow: the file is truncated or no safetensors file.");
            return [];
        }

        var json = new byte[headerBytes];
        Copy(view, PrefixBytes, json);
        dataStart = PrefixBytes + (long)headerBytes;
        return SafetensorsHeader.Parse(json, length - dataStart, name, errors);
    }
}
