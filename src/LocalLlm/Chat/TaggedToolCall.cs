using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace LocalLlm.Chat;

/// <summary>
/// Calls that some models write in tags instead of JSON: <c>&lt;function=NAME&gt;&lt;parameter=KEY&gt;VALUE&lt;/parameter&gt;&lt;/function&gt;</c>
/// (Qwen3-Coder) and <c>NAME&lt;arg_key&gt;KEY&lt;/arg_key&gt;&lt;arg_value&gt;VALUE&lt;/arg_value&gt;</c> (GLM).
/// </summary>
internal static partial class TaggedToolCall
{
    // Whatever a model writes is matched in linear time.
    private static readonly Regex Function = new(
        """^\s*<function=(?<name>[^>\s]+)>(?<rest>(\s*<parameter=[^>]+>.*?</parameter>)*)\s*(</function>)?\s*$""",
        RegexOptions.Singleline | RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture);

    private static readonly Regex Named = new(
        """^\s*(?<name>[\w.\-]+)\s*(?<rest>(\s*<arg_key>[^<]*</arg_key>\s*<arg_value>.*?</arg_value>)*)\s*$""",
        RegexOptions.Singleline | RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture);

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads the text between <c>&lt;tool_call&gt;</c> and <c>&lt;/tool_call&gt;</c>.</summary>
    public static bool TryRead(string body, out string name, out string argumentsJson)
    {
        (name, argumentsJson) = ("", "");
        var match = Function.Match(body);
        var parameters = Parameter();
        if (!match.Success)
        {
            match = Named.Match(body);
            parameters = Argument();
        }
        if (!match.Success)
            return false;
        var arguments = new JsonObject();
        foreach (Match parameter in parameters.Matches(match.Groups["rest"].Value))
            arguments[parameter.Groups["key"].Value.Trim()] = Value(parameter.Groups["value"].Value);
        name = match.Groups["name"].Value;
        argumentsJson = arguments.ToJsonString(Relaxed);
        return true;
    }

    // The tags carry no types: what reads as a JSON number, bool, array or object is one, the rest is text.
    private static JsonNode? Value(string text)
    {
        switch (text.Trim())
        {
            case "True":
                return true;
            case "False":
                return false;
            case "None":
                return null;
        }
        try
        {
            var value = JsonNode.Parse(text);
            return value?.GetValueKind() == JsonValueKind.String ? text : value;
        }
        catch (JsonException)
        {
            return text;
        }
    }

    [GeneratedRegex("""<parameter=(?<key>[^>]+)>\n?(?<value>.*?)\n?</parameter>""", RegexOptions.Singleline)]
    private static partial Regex Parameter();

    [GeneratedRegex("""<arg_key>(?<key>[^<]*)</arg_key>\s*<arg_value>(?<value>.*?)</arg_value>""", RegexOptions.Singleline)]
    private static partial Regex Argument();
}
