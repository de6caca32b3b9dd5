using CsCheck;
using LocalLlm.Chat.Jinja;

namespace LocalLlm.Tests.Chat.Jinja;

/// <summary>Which characters of a rendering are the template's, and which an input's. In the expectations an input stands in «».</summary>
public class ProvenanceTests
{
    private const string Inputs = """{"x": "in put", "y": "A", "l": ["a", "b"], "d": {"k": "v"}, "n": 7, "html": "<b>&</b>"}""";

    [Theory]
    [InlineData("a{{ x }}b", "a«in put»b")]
    [InlineData("{{ 'a' + x + 'b' }}", "a«in put»b")]
    [InlineData("{{ 'a' ~ x ~ n }}", "a«in put»7")]
    [InlineData("{{ (x + 'END')[3:8] }}", "«put»EN")]
    [InlineData("{{ (x + 'E')[::-1] }}", "E«tup ni»")]
    [InlineData("{{ (x + 'E')[-1] }}{{ (x + 'E')[0] }}", "E«i»")]
    [InlineData("{{ 'a%sb%%' % x }}", "a«in put»b%")]
    [InlineData("{{ 'a{}b{{'.format(x) }}", "a«in put»b{")]
    [InlineData("{{ '{:>8}|'.format(x) }}", "  «in put»|")]
    [InlineData("{{ x.split(' ')|join('-') }}", "«in»-«put»")]
    [InlineData("{{ ('a ' + x).split()|join('-') }}", "a-«in»-«put»")]
    [InlineData("{{ '-'.join(l) }}", "«a»-«b»")]
    [InlineData("{{ l|join('-') }}", "«a»-«b»")]
    [InlineData("{{ (x ~ ' T ').strip() }}", "«in put» T")]
    [InlineData("{{ (x ~ ' T ')|trim }}", "«in put» T")]
    [InlineData("{{ ('T' ~ x).replace('put', 'out') }}", "T«in »out")]
    [InlineData("{{ ('T' ~ x)|replace('T', x) }}", "«in putin put»")]
    [InlineData("{{ ('t' ~ x)|upper }}", "T«IN PUT»")]
    [InlineData("{{ ('T' ~ x)|lower }}", "t«in put»")]
    [InlineData("{{ ('t ' ~ x)|title }}", "T «In Put»")]
    [InlineData("{{ ('t ' ~ x)|capitalize }}", "T «in put»")]
    [InlineData("{{ ('t\\n' ~ x)|indent(2) }}", "t\n  «in put»")]
    [InlineData("{{ ('t' ~ x)|reverse }}", "«tup ni»t")]
    [InlineData("{{ ('t' ~ x)|list|join }}", "t«in put»")]
    [InlineData("{{ ('t' ~ x)|first }}{{ ('t' ~ x)|last }}", "t«t»")]
    [InlineData("{{ ('t' ~ x)|truncate(4, true, '', 0) }}", "t«in »")]
    [InlineData("{{ ('t' ~ x)|center(9) }}", " t«in put» ")]
    [InlineData("{{ ('t' ~ x)|safe }}", "t«in put»")]
    [InlineData("{{ ('<' ~ html)|e }}", "&lt;«&lt;b&gt;&amp;&lt;/b&gt;»")]
    [InlineData("{{ ('<i>t</i> ' ~ html)|striptags }}", "t «&»")]
    [InlineData("{{ ('t ' ~ x)|wordwrap(3) }}", "t\n«in»\n«put»")]
    [InlineData("{{ x|urlencode }}", "«in%20put»")]
    [InlineData("{{ x * 2 }}", "«in putin put»")]
    [InlineData("{{ x|string }}", "«in put»")]
    [InlineData("{{ x|default('t') }}{{ none_such|default(x) }}{{ none_such|default('t') }}", "«in putin put»t")]
    [InlineData("{{ ['t', x]|tojson }}", "«[»\"t\"«, \"in put\"]»")]
    [InlineData("{{ d|tojson }}", "«{\"k\": \"v\"}»")]
    [InlineData("{{ {'t': 1}|tojson }}", "{\"t\": 1}")]
    [InlineData("{{ d }}", "«{'k': 'v'}»")]
    [InlineData("{{ ['t', 1] }}", "['t', 1]")]
    [InlineData("{{ d|items|list }}", "«[('k', 'v')]»")]
    [InlineData("{{ x|pprint }}", "«'in put'»")]
    [InlineData("{{ l|map('upper')|join('-') }}", "«A»-«B»")]
    [InlineData("{{ [x, 't']|sort|join('-') }}", "«in put»-t")]
    [InlineData("{{ [x, 't']|min }}{{ [x, 't']|max }}", "«in put»t")]
    [InlineData("{{ [x, x, 't']|unique|join }}", "«in put»t")]
    [InlineData("{% for k, v in d|dictsort %}{{ k }}={{ v }}{% endfor %}", "«k»=«v»")]
    [InlineData("{% for k in d %}<{{ k }}>{% endfor %}", "<«k»>")]
    [InlineData("{% set s %}a{{ x }}b{% endset %}{{ s }}{{ s|length }}", "a«in put»b8")]
    [InlineData("{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(x) }}{{ m('t') }}", "<«in put»><t>")]
    [InlineData("{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ x }}{% endcall %}", "<«in put»>")]
    [InlineData("{% filter upper %}a{{ x }}{% endfilter %}", "A«IN PUT»")]
    [InlineData("{% set ns = namespace(s='') %}{% for i in l %}{% set ns.s = ns.s + '<' + i + '>' %}{% endfor %}{{ ns.s }}", "<«a»><«b»>")]
    [InlineData("{{ (x ~ '\\nT').splitlines()|join('+') }}", "«in put»+T")]
    [InlineData("{{ (x ~ '=T').partition('=')|join('|') }}", "«in put»|=|T")]
    [InlineData("{{ (x ~ 'T').removeprefix('in ') }}{{ (x ~ 'T').removesuffix('T') }}", "«put»T«in put»")]
    [InlineData("{{ (x ~ 'T').ljust(9, '.') }}{{ (x ~ 'T').rjust(9, '.') }}", "«in put»T....«in put»T")]
    [InlineData("{{ x.title().swapcase() }}", "«iN pUT»")]
    [InlineData("{{ n }}{{ n + 1 }}{{ x|length }}{{ x == 'in put' }}", "786True")]
    [InlineData("{{ strftime_now('%Y') }}", "2025")]
    [InlineData("{{ y in 'ABC' }}{{ {'A': 't'}[y] }}", "Truet")]
    public void Render_Operation_KeepsProvenance(string template, string expected)
    {
        var segments = JinjaRun.Segments(template, Inputs);
        string.Concat(segments.Select(s => s.IsTemplate ? s.Text : $"«{s.Text}»")).ShouldBe(expected);
        for (var i = 1; i < segments.Count; i++)
            segments[i].IsTemplate.ShouldNotBe(segments[i - 1].IsTemplate, "neighbours of one provenance are merged");
    }

    [Fact]
    public void Slice_OfAnyRuns_KeepsEveryCharactersProvenance()
    {
        // Upper case stands for the template, lower case for inputs.
        var gen = Gen.String[Gen.Char["abcABC"], 0, 30].SelectMany(s => Gen.Int[0, s.Length], (s, from) => (s, from)).SelectMany(p => Gen.Int[p.from, p.s.Length], (p, to) => (p.s, p.from, to));
        gen.Sample(p =>
        {
            var context = new RenderContext(JinjaLimits.Default, TimeProvider.System, new Dictionary<string, object?>());
            var builder = new JinjaTextBuilder(context);
            foreach (var c in p.s)
                builder.Append(c, char.IsUpper(c));
            var slice = builder.ToText().Slice(p.from, p.to - p.from);
            var copy = new JinjaTextBuilder(context).Append(builder.ToText(), p.from, p.to - p.from).ToText();
            return slice.Value == p.s[p.from..p.to] && copy.Value == slice.Value
                && Enumerable.Range(0, slice.Length).All(i => slice.IsTemplateAt(i) == char.IsUpper(slice.Value[i]) && copy.IsTemplateAt(i) == slice.IsTemplateAt(i));
        });
    }
}
