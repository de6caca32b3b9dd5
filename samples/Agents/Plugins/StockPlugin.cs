using System.ComponentModel;
using DemoModel.Dialogues;
using Microsoft.SemanticKernel;

namespace Agents.Plugins;

/// <summary>The stock room.</summary>
internal sealed class StockPlugin
{
    private readonly StockRoom _stock = new();

    [KernelFunction("check"), Description(DemoTools.StockCheck)]
    public string Check(string item) => _stock.Check(item);

    [KernelFunction("add"), Description(DemoTools.StockAdd)]
    public string Add(string item, int quantity) => _stock.Add(item, quantity);

    [KernelFunction("remove"), Description(DemoTools.StockRemove)]
    public string Remove(string item, int quantity) => _stock.Remove(item, quantity);
}
