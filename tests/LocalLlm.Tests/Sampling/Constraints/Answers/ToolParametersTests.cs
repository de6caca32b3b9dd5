using System.Text.Json;
using LocalLlm.Sampling.Constraints.Answers;
using Shouldly;
using Xunit;

namespace LocalLlm.Tests.Sampling.Constraints.Answers;

public sealed class ToolParametersTests
{
    private static string Enforced(string schema) => ToolParameters.Enforced(JsonElement.Parse(schema), "The parameters of tool 'x'").GetRawText();

    [Theory]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"string"}}}""",
        """{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}""")]
    [InlineData(
        """{"type":"object","properties":{"a":{"type":"array","items":{"properties":{"b":{}}}}}}""",
        """{"type":"object","properties":{"a":{"type":"array","items":{"properties":{"b":{}},"additionalProperties":false}}},"additionalProperties":false}""")]
    [InlineData("""{"properties":{}}""", """{"properties":{},"type":"object","additionalProperties":false}""")]
    public void Enforced_ObjectThatNamesProperties_HoldsNoOthers(string schema, string expected) => Enforced(schema).ShouldBe(expected);

    [Theory]
    [InlineData("""{"type":"object"}""")]
    [InlineData("""{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"string"}}""")]
    [InlineData("""{"type":"object","properties":{"a":{}},"patternProperties":{"^x":{}}}""")]
    [InlineData("""{"type":"object","properties":{"a":{}},"allOf":[{"properties":{"b":{}}}],"$defs":{"base":{"properties":{"c":{}}}}}""")]
    public void Enforced_ObjectThatSpeaksOfOthersOrNamesNone_StaysOpen(string schema) => Enforced(schema).ShouldBe(schema);

    [Fact]
    public void Enforced_PropertyNamedLikeAKeyword_IsAProperty() =>
        Enforced("""{"type":"object","properties":{"properties":{"type":"string"},"items":{"type":"integer"}}}""")
            .ShouldBe("""{"type":"object","properties":{"properties":{"type":"string"},"items":{"type":"integer"}},"additionalProperties":false}""");

    [Fact]
    public void Enforced_NoSchema_IsAnObject() => ToolParameters.Enforced(default, "x").GetRawText().ShouldBe("""{"type":"object"}""");

    [Theory]
    [InlineData("true")]
    [InlineData("[]")]
    public void Enforced_NoObject_ErrorNamesTheTool(string schema) => Should.Throw<ConstraintException>(() => Enforced(schema)).Message.ShouldContain("tool 'x'");
}
