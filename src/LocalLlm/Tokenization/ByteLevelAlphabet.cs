namespace LocalLlm.Tokenization;

/// <summary>
/// The alphabet in which byte-level vocabularies spell bytes: printable characters of Latin-1 stand for their own byte, characters from
/// U+0100 on for the others, in order.
/// </summary>
internal static class ByteLevelAlphabet
{
    private static readonly char[] Chars = BuildChars();
    private static readonly Dictionary<char, byte> Bytes = Enumerable.Range(0, 256).ToDictionary(b => Chars[b], b => (byte)b);

    public static char CharOf(byte value) => Chars[value];

    public static bool TryGetByte(char c, out byte value) => Bytes.TryGetValue(c, out value);

    private static char[] BuildChars()
    {
        char[] chars = new char[256];
        char next = '\u0100';
        for (int b = 0; b < 256; b++)
            chars[b] = b is (>= 0x21 and <= 0x7E) or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : next++;
        return chars;
    }
}
