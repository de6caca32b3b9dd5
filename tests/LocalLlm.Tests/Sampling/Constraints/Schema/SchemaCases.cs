namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>Schemas that are hard for one reason each.</summary>
internal static class SchemaCases
{
    public static IReadOnlyDictionary<string, string> All { get; } = new Dictionary<string, string>
    {
        ["true"] = "true",
        ["empty"] = "{}",
        ["null"] = """{"type":"null"}""",
        ["boolean"] = """{"type":"boolean"}""",
        ["integer"] = """{"type":"integer"}""",
        ["number"] = """{"type":"number"}""",
        ["string"] = """{"type":"string"}""",
        ["type array"] = """{"type":["string","null","integer"]}""",
        ["integer range"] = """{"type":"integer","minimum":-17,"maximum":203}""",
        ["integer exclusive range"] = """{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}""",
        ["integer above"] = """{"type":"integer","minimum":5}""",
        ["integer below"] = """{"type":"integer","exclusiveMaximum":-99}""",
        ["integer beyond 64 bits"] = """{"type":"integer","minimum":18446744073709551610,"maximum":18446744073709551620}""",
        ["number range"] = """{"type":"number","minimum":0.5,"exclusiveMaximum":1.25}""",
        ["number above"] = """{"type":"number","exclusiveMinimum":-0.75}""",
        ["multiple of 7"] = """{"type":"integer","multipleOf":7,"minimum":0,"maximum":1000}""",
        ["cents"] = """{"type":"number","multipleOf":0.01,"minimum":0,"maximum":9.99}""",
        ["quarters"] = """{"type":"number","multipleOf":0.25,"minimum":-2,"maximum":2}""",
        ["range without type"] = """{"minimum":3,"maximum":4}""",
        ["length"] = """{"type":"string","minLength":2,"maxLength":4}""",
        ["pattern"] = """{"type":"string","pattern":"^[A-Z]{2}-\\d{3}$"}""",
        ["pattern anywhere"] = """{"type":"string","pattern":"b+c"}""",
        ["pattern and length"] = """{"type":"string","pattern":"^(ab|a)*$","minLength":3,"maxLength":5}""",
        ["format date"] = """{"type":"string","format":"date"}""",
        ["format date-time"] = """{"type":"string","format":"date-time"}""",
        ["format time"] = """{"type":"string","format":"time"}""",
        ["format uuid"] = """{"type":"string","format":"uuid"}""",
        ["format ipv4"] = """{"type":"string","format":"ipv4"}""",
        ["format ipv6"] = """{"type":"string","format":"ipv6"}""",
        ["format email"] = """{"type":"string","format":"email"}""",
        ["format hostname"] = """{"type":"string","format":"hostname"}""",
        ["format uri"] = """{"type":"string","format":"uri"}""",
        ["format duration"] = """{"type":"string","format":"duration"}""",
        ["enum of strings"] = """{"enum":["red","green","blau \"x\"","é😀"]}""",
        ["enum of all"] = """{"enum":[null,true,1,-2.5,"a",[1,"b"],{"k":[null]}]}""",
        ["enum with type"] = """{"type":"string","enum":["a",1,"b"]}""",
        ["const object"] = """{"const":{"a":1,"b":{"c":false}}}""",
        ["const and enum"] = """{"const":"a","enum":["a","b"]}""",
        ["closed object"] = """
            {"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],
            "additionalProperties":false}
            """,
        ["open object"] = """{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}""",
        ["required without properties"] = """{"type":"object","required":["x","y"]}""",
        ["dictionary"] = """{"type":"object","additionalProperties":{"type":"integer"}}""",
        ["pattern properties"] = """
            {"type":"object","patternProperties":{"^a":{"type":"integer"},"z$":{"maximum":5}},
            "additionalProperties":{"type":"boolean"}}
            """,
        ["pattern and named"] = """
            {"type":"object","properties":{"ab":{"minimum":2}},"patternProperties":{"^a":{"type":"integer"}},
            "additionalProperties":false}
            """,
        ["property names"] = """{"type":"object","propertyNames":{"pattern":"^[a-c]{1,2}$"},"additionalProperties":{"type":"null"}}""",
        ["property counts"] = """
            {"type":"object","minProperties":1,"maxProperties":2,"properties":{"a":{"type":"null"},"b":{"type":"null"},
            "c":{"type":"null"}},"additionalProperties":false}
            """,
        ["dependent required"] = """
            {"type":"object","properties":{"card":{"type":"null"},"code":{"type":"null"}},"dependentRequired":{"card":["code"]},
            "additionalProperties":false}
            """,
        ["forbidden property"] = """{"type":"object","properties":{"a":false,"b":{"type":"null"}}}""",
        ["array"] = """{"type":"array","items":{"type":"boolean"}}""",
        ["array counts"] = """{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}""",
        ["tuple"] = """{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false,"minItems":2}""",
        ["tuple with rest"] = """{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"integer"}}""",
        ["no items"] = """{"type":"array","items":false}""",
        ["one unique item"] = """{"type":"array","uniqueItems":true,"maxItems":1,"items":{"enum":[1,"a"]}}""",
        ["any of"] = """
            {"anyOf":[{"type":"string","maxLength":2},{"type":"integer"},{"type":"object","properties":{"a":{"const":1}},
            "required":["a"]}]}
            """,
        ["any of beside type"] = """{"type":"object","properties":{"k":{"type":"string"}},"anyOf":[{"required":["k"]},{"required":["l"]}]}""",
        ["any of with an impossible branch"] = """{"type":"string","anyOf":[{"minLength":3,"maxLength":2},{"const":"ok"}]}""",
        ["all of"] = """
            {"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},
            "b":{"type":"string"}}}]}
            """,
        ["all of any of"] = """
            {"allOf":[{"anyOf":[{"type":"string"},{"type":"integer"}]},{"anyOf":[{"minimum":5,"type":"integer"},{"type":"null"}]}]}
            """,
        ["one of by type"] = """{"oneOf":[{"type":"string"},{"type":"null"},{"type":"array","items":{"type":"string"}}]}""",
        ["one of by discriminator"] = """
            {"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"x":{"type":"integer"}},"required":["kind"]},
            {"type":"object","properties":{"kind":{"const":"b"},"y":{"type":"string"}},"required":["kind"]}]}
            """,
        ["one of overlapping scalars"] = """{"oneOf":[{"type":"integer","minimum":0,"maximum":10},{"type":"number","minimum":5,"maximum":20}]}""",
        ["one of overlapping strings"] = """{"oneOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^a"}]}""",
        ["not a type"] = """{"type":["string","integer"],"not":{"type":"string"}}""",
        ["not an enum"] = """{"type":"string","not":{"enum":["a","bb"]}}""",
        ["not a number"] = """{"type":"number","minimum":0,"maximum":2,"not":{"const":1}}""",
        ["reference"] = """
            {"$defs":{"n":{"type":"integer","minimum":1}},"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"],
            "additionalProperties":false}
            """,
        ["reference with siblings"] = """{"$defs":{"n":{"type":"integer","minimum":1}},"$ref":"#/$defs/n","maximum":4}""",
        ["anchor"] = """{"$defs":{"n":{"$anchor":"num","type":"integer"}},"$ref":"#num"}""",
        ["recursive tree"] = """
            {"type":"object","properties":{"v":{"type":"integer"},"c":{"type":"array","items":{"$ref":"#"}}},"required":["v"],
            "additionalProperties":false}
            """,
        ["recursive expression"] = """
            {"$defs":{"e":{"oneOf":[{"type":"object","properties":{"op":{"const":"add"},"l":{"$ref":"#/$defs/e"},
            "r":{"$ref":"#/$defs/e"}},"required":["op","l","r"],"additionalProperties":false},{"type":"object",
            "properties":{"op":{"const":"lit"},"v":{"type":"number"}},"required":["op","v"],"additionalProperties":false}]}},
            "$ref":"#/$defs/e"}
            """,
        ["mutual recursion"] = """
            {"$defs":{"a":{"type":["object","null"],"properties":{"b":{"$ref":"#/$defs/b"}},"additionalProperties":false},
            "b":{"type":"array","items":{"$ref":"#/$defs/a"},"maxItems":2}},"$ref":"#/$defs/a"}
            """,
        ["annotations"] = """{"title":"t","description":"d","default":1,"examples":[1],"deprecated":true,"$comment":"c","type":"integer"}""",
        ["strange names"] = """
            {"type":"object","properties":{"a/b":{"type":"null"},"~t":{"type":"null"},"":{"type":"null"},"\"q\"":{"type":"null"}},
            "required":["a/b",""],"additionalProperties":false}
            """,
    };
}
