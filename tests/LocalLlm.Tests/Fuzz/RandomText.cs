using System.Globalization;
using System.Text;

namespace LocalLlm.Fuzz;

/// <summary>Text of any characters, whole or not.</summary>
internal static class RandomText
{
    private static readonly string[] Pieces =
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "assistant", "{{", "}}", "{%", "\0",
         "\r\n", "\t", "  ", "é", "e\u0301", "雪",
         "👨‍👩‍👧", "\ud83d", "\udc00", "\ufffd", "\u202e", "\u2028", "\ufeff", "'", "\"", "\\", "{\"a\":1}", "]]>", "$ref", "a", "b", "word ",
         "1234567890"];

    /// <summary>A text of up to so many pieces.</summary>
    public static string Next(Random random, int most)
    {
        var text = new StringBuilder();
        for (var count = random.Next(most + 1); count > 0; count--)
        {
            if (random.Next(4) == 0)
                text.Append((char)random.Next(random.Next(2) == 0 ? 0x100 : 0x10000));
            else
                text.Append(Pieces[random.Next(Pieces.Length)]);
        }

        return text.ToString();
    }

    /// <summary>A JSON string, of which whatever is not ASCII is escaped.</summary>
    public static string Quote(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (var c in text)
            quoted.Append(c is >= ' ' and < (char)127 and not '"' and not '\\' ? c : string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"));
        return quoted.Append('"').ToString();
    }
}
