using System.Text.Json;
using LocalLlm.Chat.Jinja;

namespace LocalLlm.Tests.Chat.Jinja;

/// <summary>Renders templates in tests, with variables given as JSON.</summary>
internal static class JinjaRun
{
    /// <summary>Noon of 10 July 2025, in UTC.</summary>
    public static TimeProvider Noon { get; } = new FixedTime();

    public static string Text(string template, string json = "{}", JinjaLimits? limits = null) => Join(Segments(template, json, limits));

    public static IReadOnlyList<PromptSegment> Segments(string template, string json = "{}", JinjaLimits? limits = null)
    {
        using var document = JsonDocument.Parse(json);
        return Segments(template, document.RootElement, limits);
    }

    public static IReadOnlyList<PromptSegment> Segments(string template, JsonElement variables, JinjaLimits? limits = null)
    {
        var values = new Dictionary<string, object?>();
        foreach (var property in variables.EnumerateObject())
        {
            var value = PythonJson.FromJson(property.Value);
            values[property.Name] = property.Name switch
            {
                "bos_token" or "eos_token" when value is JinjaText token => JinjaText.Template(token.Value),
                "tools" when value is JinjaList tools => new JinjaList(tools.Items) { PrintsAsJson = true },
                _ => value,
            };
        }
        return JinjaTemplate.Parse(template, limits).Render(values, Noon);
    }

    public static string Join(IEnumerable<PromptSegment> segments) => string.Concat(segments.Select(s => s.Text));

    public static ChatTemplateException Error(string template, string json = "{}", JinjaLimits? limits = null) =>
        Should.Throw<ChatTemplateException>(() => Segments(template, json, limits));

    private sealed class FixedTime : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2025, 7, 10, 12, 0, 0, TimeSpan.Zero);
    }
}
