using System.ComponentModel;
using DemoModel.Dialogues;
using Microsoft.SemanticKernel;

namespace Agents.Plugins;

/// <summary>The notes.</summary>
internal sealed class NotesPlugin
{
    private readonly NoteBook _notes = new();

    [KernelFunction("save"), Description(DemoTools.NotesSave)]
    public string Save(string topic, string text) => _notes.Save(topic, text);

    [KernelFunction("read"), Description(DemoTools.NotesRead)]
    public string Read(string topic) => _notes.Read(topic);
}
