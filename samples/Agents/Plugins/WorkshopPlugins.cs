using Microsoft.SemanticKernel;

namespace Agents.Plugins;

/// <summary>The plugins of a workshop, in the order in which the demo model knows them best.</summary>
internal static class WorkshopPlugins
{
    /// <summary>Replaces the kernel's plugins by those of a workshop in which nothing has happened yet.</summary>
    public static void OpenWorkshop(this Kernel kernel)
    {
        kernel.Plugins.Clear();
        kernel.Plugins.AddFromObject(new StockPlugin(), "Stock");
        kernel.Plugins.AddFromObject(new CalendarPlugin(), "Calendar");
        kernel.Plugins.AddFromObject(new NotesPlugin(), "Notes");
    }
}
