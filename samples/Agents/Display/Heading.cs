using Agents.Conversation;
using Agents.Options;
using LocalLlm;
using Spectre.Console;

namespace Agents.Display;

/// <summary>The first lines: what runs.</summary>
internal static class Heading
{
    public static void Write(Terminal terminal, SampleOptions options, AgentSession session)
    {
        LlmModelInfo model = session.Model;
        string cache = options.Kv == KvCacheKind.Dense ? "uncompressed KV cache" : $"{options.KvName} KV cache, old tokens at {model.KvBits} bits";
        terminal.Console.MarkupLine($"[bold]{Markup.Escape(model.ModelId)}[/]");
        terminal.Console.Write(new Text(
            $"{model.Architecture}, {Figures.Count(model.ParameterCount)} parameters, on {model.Device}; context {Figures.Count(model.ContextTokens)} tokens; {cache}\n"
            + $"tools: {string.Join(", ", session.ToolNames)}\n" + (terminal.IsLive ? "" : "\n"),
            new Style(Color.Grey)));
    }
}
