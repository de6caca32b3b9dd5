using System.Globalization;

namespace LocalLlm.Evaluation.Methods;

/// <summary>Reads what stored results say of methods.</summary>
internal static class MethodNames
{
    /// <summary>A method's label by its id; the id where the catalog has it no more.</summary>
    public static string Label(string id) => MethodCatalog.All.FirstOrDefault(m => m.Id == id)?.Label ?? id;

    /// <summary>A method's place in the catalog; the last for one that it has no more.</summary>
    public static int Order(string id) =>
        MethodCatalog.All.Select((m, i) => (m.Id, i)).Where(m => m.Id == id).Select(m => m.i).DefaultIfEmpty(int.MaxValue).First();

    /// <summary>The style in which charts draw a method: the same in all of them. Null for a variant.</summary>
    public static int? Style(string id)
    {
        List<string> ids = [.. MethodCatalog.Main.Where(m => m != MethodCatalog.Dense).Append(MethodCatalog.Dense).Select(m => m.Id)];
        return ids.IndexOf(id) is >= 0 and var place ? place : null;
    }

    /// <summary>The window in <see cref="Method.Parameters"/>; null if there is none.</summary>
    public static int? Window(string parameters)
    {
        var part = parameters.Split(' ').FirstOrDefault(p => p.StartsWith("W=", StringComparison.Ordinal));
        return part is not null && int.TryParse(part[2..], NumberStyles.None, CultureInfo.InvariantCulture, out var window) ? window : null;
    }
}
