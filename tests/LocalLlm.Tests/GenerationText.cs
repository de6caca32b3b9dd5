using System.Text;

namespace LocalLlm.Tests;

/// <summary>Reads a whole generation.</summary>
internal static class GenerationText
{
    public static async Task<(string Text, GenerationCompleted End)> ReadAsync(
        this ILlmEngine engine, GenerationRequest request, CancellationToken cancellationToken = default)
    {
        var text = new StringBuilder();
        GenerationCompleted? end = null;
        await foreach (var update in engine.GenerateAsync(request, cancellationToken))
        {
            end.ShouldBeNull("an update came after the end");
            if (update is TextDelta delta)
                text.Append(delta.Text);
            end = update as GenerationCompleted;
        }

        return (text.ToString(), end.ShouldNotBeNull());
    }
}
