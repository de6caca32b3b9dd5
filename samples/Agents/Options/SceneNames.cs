using System.Globalization;
using System.Text;

namespace Agents.Options;

/// <summary>The scenes as the command line names them.</summary>
internal static class SceneNames
{
    public const string Conversation = "conversation";
    public const string Chat = "chat";
    public const string Assistant = "assistant";
    public const string Pair = "pair";
    public const string Resume = "resume";
    public const string Extract = "extract";
    public const string Host = "host";

    /// <summary>Not a scene: describes them.</summary>
    public const string ListScenes = "list";

    /// <summary>All scenes, with a line on each.</summary>
    public static IReadOnlyList<(string Name, string Help)> All { get; } =
    [
        (Conversation, "a scripted conversation of --turns turns that is judged: recall from far back, tool calls (the default)"),
        (Chat, "talk to the agent yourself"),
        (Assistant, "an assistant that needs its tools: one call, several at once, several rounds; a Semantic Kernel filter shows them"),
        (Pair, "two agents with instructions and tools of their own take turns in one history, on one engine"),
        (Resume, "an Agent Framework agent whose session is stored in a file, and goes on with a newly loaded model"),
        (Extract, "free text to a .NET record; the answer can only be JSON of the record's schema"),
        (Host, "an ASP.NET Core chat endpoint on 127.0.0.1 with a web page, a health check and clean cancellation"),
    ];

    /// <summary>The text of <c>--scene list</c>: a line a scene.</summary>
    public static string List
    {
        get
        {
            var list = new StringBuilder();
            foreach ((string name, string help) in All)
                list.Append(CultureInfo.InvariantCulture, $"  {name,-15}{help}\n");
            return list.ToString();
        }
    }
}
