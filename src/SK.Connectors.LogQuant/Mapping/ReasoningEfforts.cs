using Microsoft.Extensions.AI;

namespace SK.Connectors.LogQuant.Mapping;

/// <summary>The names of reasoning efforts, as settings and chat templates spell them.</summary>
internal static class ReasoningEfforts
{
    private static readonly (string Name, ReasoningEffort Effort)[] Names =
    [
        ("none", ReasoningEffort.None),
        ("low", ReasoningEffort.Low),
        ("medium", ReasoningEffort.Medium),
        ("high", ReasoningEffort.High),
        ("xhigh", ReasoningEffort.ExtraHigh),
    ];

    public static string Name(ReasoningEffort effort) => Array.Find(Names, n => n.Effort == effort) is { Name: { } name }
        ? name
        : throw new NotSupportedException(
            $"The reasoning effort {effort} is unknown; use one of {string.Join(", ", Names.Select(n => n.Effort))}.");

    public static ReasoningEffort Parse(string name)
    {
        foreach (var known in Names)
        {
            if (known.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return known.Effort;
        }
        throw new ArgumentException($"reasoning_effort is '{name}'; use one of {string.Join(", ", Names.Select(n => n.Name))}, "
            + "or null for the model's own.", nameof(name));
    }
}
