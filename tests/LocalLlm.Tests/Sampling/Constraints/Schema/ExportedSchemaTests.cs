using System.Text.Json;
using System.Text.Json.Schema;
using System.Text.Json.Serialization;
using LocalLlm.Sampling.Constraints.Schema;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>Schemas that .NET writes for types: what is sampled is read back as the type, and what is written of the type is accepted.</summary>
public class ExportedSchemaTests
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerOptions.Web)
    {
        NumberHandling = JsonNumberHandling.Strict,
        Converters = { new JsonStringEnumConverter() },
        AllowOutOfOrderMetadataProperties = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    };

    private static readonly JsonSchemaExporterOptions Exporter = new() { TreatNullObliviousAsNonNullable = true };

    public enum Colour
    {
        Red,
        Green,
    }

    [JsonPolymorphic]
    [JsonDerivedType(typeof(Circle), "circle")]
    [JsonDerivedType(typeof(Square), "square")]
    public abstract record Figure;

    public sealed record Circle(double Radius) : Figure;

    public sealed record Square(int Side) : Figure;

    public sealed record Address(string Street, int? Number);

    public sealed record Person(
        string Name, Colour Colour, Address Home, List<Address> Others, Dictionary<string, int> Scores, DateTime Born, DateOnly Day, Guid Id,
        Uri Link, TimeSpan Duration, bool? Flag, char Letter, decimal Money, JsonElement Anything);

    public sealed record Tree(string Value, List<Tree> Children);

    public sealed record Drawing(List<Figure> Figures);

    [Fact]
    public void Compile_RecordOfEverything_AcceptsWhatIsWritten() => Accepts(new Person(
        "Ann", Colour.Green, new Address("Elm", null), [new Address("Oak", 3)], new() { ["a"] = 1 },
        new DateTime(2024, 2, 29, 1, 2, 3, DateTimeKind.Utc),
        new DateOnly(2024, 2, 29), Guid.Empty, new Uri("https://example.com/a?b#c"),
        new TimeSpan(1, 2, 3, 4, 5), null, 'x', 1.50m, JsonElement.Parse("[1]")));

    [Fact]
    public void Compile_RecordOfNumbersAndEnums_SamplesAreReadBack() => SamplesAreRead<Address>();

    [Fact]
    public void Compile_RecursiveType_SamplesAreReadBack()
    {
        Accepts(new Tree("a", [new Tree("b", []), new Tree("c", [new Tree("d", [])])]));
        SamplesAreRead<Tree>();
    }

    [Fact]
    public void Compile_PolymorphicType_SamplesAreReadBack()
    {
        Accepts(new Drawing([new Circle(1.5), new Square(2)]));
        SamplesAreRead<Drawing>();
    }

    private static void Accepts<T>(T value)
    {
        var text = JsonSerializer.Serialize(value, Options);
        GrammarRecognizer.Matches(JsonSchemaCompiler.Compile(SchemaOf<T>(), "It"), text).ShouldBeTrue($"{SchemaOf<T>()}\n{text}");
    }

    private static void SamplesAreRead<T>()
    {
        var (node, random) = (JsonSchemaCompiler.Compile(SchemaOf<T>(), "It"), new Random(4));
        for (var i = 0; i < 100; i++)
        {
            var sample = GrammarSampler.Sample(node, random);
            try
            {
                (JsonSerializer.Deserialize<T>(sample, Options) is not null).ShouldBeTrue(sample);
            }
            catch (JsonException e) when (e.InnerException is FormatException or OverflowException)
            {
                // An integer beyond the type's range: the schema names no range.
            }
        }
    }

    private static JsonElement SchemaOf<T>() =>
        JsonElement.Parse(JsonSchemaExporter.GetJsonSchemaAsNode(Options, typeof(T), Exporter).ToJsonString());
}
