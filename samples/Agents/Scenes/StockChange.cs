using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace Agents.Scenes;

/// <summary>
/// What became of the stock, as a message tells it. The schema that binds the model is made of this type, the bounds of its values included, so an
/// answer cannot go on for ever.
/// </summary>
internal sealed record StockChange
{
    /// <summary>What it is about: something that the workshop has.</summary>
    [JsonPropertyName("item"), Description("What it is about."), AllowedValues("copper valve", "steel hinge", "rubber gasket", "brass nozzle")]
    public required string Item { get; init; }

    /// <summary>How many units.</summary>
    [JsonPropertyName("quantity"), Description("How many units."), Range(1, 999)]
    public required int Quantity { get; init; }

    /// <summary>Whether they came or went.</summary>
    [JsonPropertyName("direction"), Description("Whether they came or went.")]
    public required StockDirection Direction { get; init; }
}

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
