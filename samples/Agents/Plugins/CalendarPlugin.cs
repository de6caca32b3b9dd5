using System.ComponentModel;
using DemoModel.Dialogues;
using Microsoft.SemanticKernel;

namespace Agents.Plugins;

/// <summary>The calendar.</summary>
internal sealed class CalendarPlugin
{
    private readonly DayBook _days = new();

    [KernelFunction("book"), Description(DemoTools.CalendarBook)]
    public string Book(string day, string time, string title) => _days.Book(day, time, title);

    [KernelFunction("list"), Description(DemoTools.CalendarList)]
    public string List(string day) => _days.List(day);
}
