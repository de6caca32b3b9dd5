using System.Text.Json;

namespace LocalLlm.Tests.Sampling.Constraints.Schema;

/// <summary>Schemas in which something is hard, by name.</summary>
internal static class HardSchemas
{
    private static readonly Dictionary<string, string> Schemas = new()
    {
        ["any value"] = "true",
        ["any object"] = """{"type": "object"}""",
        ["several types"] = """{"type": ["string", "null", "integer"]}""",
        ["enum of everything"] = """{"enum": ["a", "\"", "é😀", 1, 1.50, -2e3, true, null, [1, "x"], {"a": [], "b": {"c": null}}]}""",
        ["const object"] = """{"const": {"b": 1, "a": ["x"]}}""",
        ["optional properties"] = """{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"type": "null"}}, "additionalProperties": false}""",
        ["required without properties"] = """{"type": "object", "required": ["x", "y"], "maxProperties": 3}""",
        ["min and max properties"] = """{"type": "object", "properties": {"a": true, "b": true, "c": true}, "required": ["c"], "minProperties": 2, "maxProperties": 2, "additionalProperties": false}""",
        ["additional properties of a type"] = """{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": {"type": "string", "maxLength": 3}, "maxProperties": 2}""",
        ["pattern properties"] = """{"type": "object", "patternProperties": {"^a": {"type": "integer"}, "z$": {"minimum": 10}}, "additionalProperties": false, "minProperties": 1}""",
        ["named and pattern properties"] = """{"type": "object", "properties": {"ab": {"minimum": 0}}, "patternProperties": {"^a": {"type": "integer"}}, "required": ["ab"], "maxProperties": 2}""",
        ["property names"] = """{"type": "object", "propertyNames": {"pattern": "^[a-z]{1,4}$"}, "additionalProperties": {"type": "boolean"}, "minProperties": 1}""",
        ["escaped names"] = """{"type": "object", "properties": {"a\"b\\c/\n": {"const": 1}, "é😀": {"const": 2}}, "required": ["a\"b\\c/\n", "é😀"], "additionalProperties": false}""",
        ["items"] = """{"type": "array", "items": {"type": "integer", "minimum": -3, "maximum": 7}, "minItems": 1, "maxItems": 4}""",
        ["prefix items"] = """{"type": "array", "prefixItems": [{"const": "x"}, {"type": "number"}], "items": {"type": "boolean"}, "minItems": 1}""",
        ["closed tuple"] = """{"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": false, "minItems": 2}""",
        ["items of draft 7"] = """{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": {"type": "null"}}""",
        ["impossible item"] = """{"type": "array", "prefixItems": [{"type": "integer"}, false], "items": {"type": "string"}}""",
        ["string lengths"] = """{"type": "string", "minLength": 2, "maxLength": 5}""",
        ["pattern and length"] = """{"type": "string", "pattern": "[0-9]{2}", "minLength": 4, "maxLength": 6}""",
        ["anchored pattern"] = """{"type": "string", "pattern": "^(GET|POST) /[a-z]+(\\?q=[^\\s\"\\\\]{1,5})?$"}""",
        ["pattern of quotes and escapes"] = """{"type": "string", "pattern": "^[\"\\\\\\n\\t\u00e9]{3}$"}""",
        ["unicode pattern"] = """{"type": "string", "pattern": "^\\p{Lu}[\u0430-\u044f]{2}$"}""",
        ["date-time"] = """{"type": "string", "format": "date-time"}""",
        ["date"] = """{"type": "string", "format": "date"}""",
        ["time"] = """{"type": "string", "format": "time"}""",
        ["uuid"] = """{"type": "string", "format": "uuid"}""",
        ["email"] = """{"type": "string", "format": "email", "maxLength": 30}""",
        ["ipv4 and ipv6"] = """{"type": "array", "prefixItems": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}], "minItems": 2, "maxItems": 2}""",
        ["hostname"] = """{"type": "string", "format": "hostname", "maxLength": 20}""",
        ["uri"] = """{"type": "string", "format": "uri", "pattern": "^https://", "maxLength": 40}""",
        ["duration"] = """{"type": "string", "format": "duration"}""",
        ["integer range"] = """{"type": "integer", "minimum": -105, "exclusiveMaximum": 1200}""",
        ["large integers"] = """{"type": "integer", "minimum": 12345678901234567890, "maximum": 12345678901234567999}""",
        ["decimal range"] = """{"type": "number", "minimum": 0.5, "exclusiveMaximum": 1.25}""",
        ["negative range"] = """{"type": "number", "minimum": -2.75, "maximum": -0.125}""",
        ["open range"] = """{"type": "number", "exclusiveMinimum": 0}""",
        ["exclusive flags of draft 4"] = """{"$schema": "http://json-schema.org/draft-06/schema#", "type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2}""",
        ["multiples"] = """{"type": "integer", "multipleOf": 7, "minimum": 100, "maximum": 500}""",
        ["cents"] = """{"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 20}""",
        ["enum and range"] = """{"enum": [1, 2, 30, "x"], "maximum": 5}""",
        ["anyOf"] = """{"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}, {"type": "string", "maxLength": 2}, {"type": "array", "maxItems": 1}]}""",
        ["anyOf with siblings"] = """{"type": "object", "properties": {"k": {"type": "string", "maxLength": 3}}, "required": ["k"], "anyOf": [{"properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["v"]}, {"properties": {"k": {"const": "b"}}}], "maxProperties": 3}""",
        ["anyOf with an impossible branch"] = """{"anyOf": [false, {"type": "integer", "minimum": 3, "maximum": 1}, {"const": "ok"}]}""",
        ["oneOf by constants"] = """{"oneOf": [{"type": "object", "properties": {"t": {"const": "a"}, "x": {"type": "integer"}}, "required": ["t", "x"], "maxProperties": 2}, {"type": "object", "properties": {"t": {"const": "b"}}, "required": ["t"], "maxProperties": 1}]}""",
        ["oneOf of scalars"] = """{"oneOf": [{"type": "integer", "minimum": 0, "maximum": 20}, {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 50}, {"type": "string", "maxLength": 1}]}""",
        ["allOf"] = """{"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"a": {"maximum": 9}, "b": {"type": "string", "maxLength": 2}}, "required": ["b"]}, {"properties": {"a": {"minimum": 5}}}], "maxProperties": 2}""",
        ["allOf of strings"] = """{"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}, {"maxLength": 6}]}""",
        ["not"] = """{"type": ["string", "integer", "boolean"], "maxLength": 2, "minimum": 0, "maximum": 12, "not": {"enum": ["", "a", 3, 4, 5, true]}}""",
        ["not a type"] = """{"not": {"type": ["object", "array", "string"]}}""",
        ["$ref"] = """{"type": "object", "properties": {"p": {"$ref": "#/$defs/point"}, "q": {"$ref": "#/$defs/point"}}, "required": ["p"], "additionalProperties": false, "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"], "additionalProperties": false}}}""",
        ["$ref with siblings"] = """{"$ref": "#/$defs/s", "maxLength": 3, "$defs": {"s": {"type": "string", "minLength": 2}}}""",
        ["$ref to a property"] = """{"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"$ref": "#/properties/a"}}, "required": ["a", "b"], "additionalProperties": false}""",
        ["$anchor"] = """{"type": "array", "items": {"$ref": "#small"}, "maxItems": 2, "$defs": {"x": {"$anchor": "small", "type": "integer", "minimum": 0, "maximum": 3}}}""",
        ["tree"] = """{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}, "required": ["v"], "additionalProperties": false}}}""",
        ["list"] = """{"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"], "additionalProperties": false}""",
        ["recursion with a way out"] = """{"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false}""",
        ["mutual recursion"] = """{"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}, "maxItems": 2}, "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "additionalProperties": false}}}""",
        ["arithmetic"] = """{"$ref": "#/$defs/e", "$defs": {"e": {"anyOf": [{"type": "number"}, {"type": "object", "properties": {"op": {"enum": ["+", "*"]}, "l": {"$ref": "#/$defs/e"}, "r": {"$ref": "#/$defs/e"}}, "required": ["op", "l", "r"], "additionalProperties": false}]}}}""",
        ["annotations"] = """{"title": "t", "description": "d", "default": 1, "examples": [1], "deprecated": false, "readOnly": true, "$comment": "c", "type": "integer", "minimum": 0, "maximum": 9}""",
        ["int32 and friends"] = """{"type": "array", "prefixItems": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "number", "minimum": -1, "maximum": 1}], "minItems": 2, "maxItems": 2}""",
    };

    /// <summary>All of them.</summary>
    public static TheoryData<string> All => [.. Schemas.Keys];

    /// <summary>A schema by name.</summary>
    public static JsonElement Named(string name) => JsonElement.Parse(Schemas[name]);
}
