namespace SK.Connectors.LogQuant.ToolLoop;

/// <summary>A function's name as the model sees it: "Plugin-Function", or "Function" alone.</summary>
internal static class FunctionNames
{
    private const char Separator = '-';

    public static string Join(string? pluginName, string functionName) =>
        string.IsNullOrEmpty(pluginName) ? functionName : $"{pluginName}{Separator}{functionName}";

    public static (string? PluginName, string FunctionName) Split(string name) => name.IndexOf(Separator, StringComparison.Ordinal) is > 0 and var at
        ? (name[..at], name[(at + 1)..])
        : (null, name);
}
