using Agents.Options;
using LocalLlm;
using Spectre.Console;

namespace Agents.Display;

/// <summary>The first lines: what runs.</summary>
internal static class Heading
{
    public static void Write(Terminal terminal, SampleOptions options, LlmModelInfo model, IEnumerable<string> toolNames)
    {
        string cache = options.Kv == KvCacheKind.Dense ? "uncompressed KV cache" : $"{options.KvName} KV cache, old tokens at {model.KvBits} bits";
        string[] tools = [.. toolNames];
        terminal.Console.MarkupLine($"[bold]{Markup.Escape(model.ModelId)}[/]");
        terminal.Console.Write(new Text(
            $"{model.Architecture}, {Figures.Count(model.ParameterCount)} parameters, on {model.Device}; context {Figures.Count(model.ContextTokens)} tokens; {cache}\n"
            + (tools.Length > 0 ? $"tools: {string.Join(", ", tools)}\n" : "") + (terminal.IsLive ? "" : "\n"),
            new Style(Color.Grey)));
    }
}
