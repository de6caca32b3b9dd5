using System.ComponentModel;
using System.Text.Json.Serialization;

namespace Agents.Scenes;

/// <summary>What became of the stock, as a message tells it. The schema that binds the model is made of this type.</summary>
/// <param name="Item">What it is about.</param>
/// <param name="Quantity">How many units.</param>
/// <param name="Direction">Whether they came or went.</param>
internal sealed record StockChange(
    [property: JsonPropertyName("item"), Description("What it is about.")] string Item,
    [property: JsonPropertyName("quantity"), Description("How many units.")] int Quantity,
    [property: JsonPropertyName("direction"), Description("Whether they came or went.")] StockDirection Direction);

/// <summary>Whether units came or went.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<StockDirection>))]
internal enum StockDirection
{
    /// <summary>Added to the stock.</summary>
    [JsonStringEnumMemberName("in")]
    In,

    /// <summary>Taken out of it.</summary>
    [JsonStringEnumMemberName("out")]
    Out,
}
