using System.Text.Json;
using DemoModel.Dialogues;

namespace LocalLlm.Evaluation.Models;

/// <summary>Tells models that speak the dialogues of the demo model: those whose chat template is its.</summary>
internal static class DemoFormat
{
    /// <summary>True if the folder's model was made by the demo model's trainer.</summary>
    public static bool Is(ModelSource source)
    {
        var path = Path.Combine(source.Folder, "tokenizer_config.json");
        if (!File.Exists(path))
            return false;
        using var config = JsonDocument.Parse(File.ReadAllText(path));
        return config.RootElement.TryGetProperty("chat_template", out var template)
            && template.ValueKind == JsonValueKind.String && template.GetString() == ChatFormat.Template;
    }
}
