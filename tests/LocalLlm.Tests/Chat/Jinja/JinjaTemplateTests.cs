namespace LocalLlm.Tests.Chat.Jinja;

/// <summary>The language; every expectation was checked against Jinja2 3.1 with trim_blocks, lstrip_blocks and loop controls.</summary>
public class JinjaTemplateTests
{
    private const string Variables = """
        {"s": "hello world", "l": [3, 1, 2], "d": {"b": 1, "a": [1, 2.5, null, true]}, "m": [{"role": "user", "n": 1}, {"role": "tool", "n": 2}], "e": "a😀b"}
        """;

    [Theory]
    // White space
    [InlineData("  {% if 1 %}\n  a\n  {% endif %}\nb\n", "  a\nb")]
    [InlineData("  {%+ if 1 %}a{% endif +%}\nb", "  a\nb")]
    [InlineData("a  {%- if 1 -%}  b  {%- endif -%}  c", "abc")]
    [InlineData("  {{ 1 }}\n  {{- 2 -}}\n  3", "  123")]
    [InlineData("  {# c #}\nb {#- c -#} c", "bc")]
    [InlineData("{% raw %}{{ x }}{% if %}{% endraw %}\nb", "{{ x }}{% if %}b")]
    [InlineData("a\r\nb\rc", "a\nb\nc")]
    [InlineData("a\n\n", "a\n")]
    [InlineData("x {% if 1 %}a{% endif %}", "x a")]
    // Operators
    [InlineData("{{ 1 + 2 * 3 ** 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** -1 }}", "19 64 4 0.5")]
    [InlineData("{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 4 / 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}", "3 -4 1 2 3.5 2.0 3.0 0.5")]
    [InlineData("{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}", "True False True True True True")]
    [InlineData("{{ 1 and 0 or 'x' }} {{ not 1 == 2 }} {{ none or [] }}", "x True []")]
    [InlineData("{{ 'a' ~ 1 ~ none ~ true ~ 1.0 }} {{ 1 ~ 2 + '3' }}", "a1NoneTrue1.0 123")]
    [InlineData("{{ 2 in l }} {{ 'o w' in s }} {{ 'b' not in d }} {{ 9 in [] }}", "True True False False")]
    [InlineData("{{ 1 if false }}|{{ 'a' if l else 'b' }}|{{ 1 if 0 else 2 if 0 else 3 }}", "|a|3")]
    [InlineData("{{ 9007199254740993 + 1 }} {{ 9223372036854775807 + 1 }} {{ 2 ** 100 }}", "9007199254740994 9223372036854775808 1267650600228229401496703205376")]
    [InlineData("{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e23 }} {{ 0.1 + 0.2 }} {{ 1e300 * 1e300 }} {{ 1_000 }} {{ 0x1F }}", "1e+16 1000000000000000.0 0.0001 1e-05 1e+23 0.30000000000000004 inf 1000 31")]
    // Literals and access
    [InlineData("{{ 'a\\n\\x41\\u00e9\\'\\d' }}", "a\nAé'\\d")]
    [InlineData("{{ ['it''s', \"it's\", 'a\"b', '\\n\\t\\\\', 'é', ()] }}", "['its', \"it's\", 'a\"b', '\\n\\t\\\\', 'é', ()]")]
    [InlineData("{{ (1,) }} {{ (1, 2) }} {{ 1, 2 }} {{ {} }} {{ {'a': 1, 2: none}}}", "(1,) (1, 2) (1, 2) {} {'a': 1, 2: None}")]
    [InlineData("{{ d.a[1] }} {{ d['a'][-1] }} {{ d.items }}", "2.5 True <function 'items'>")]
    [InlineData("{{ l[1:] }} {{ l[::-1] }} {{ l[:-1:2] }} {{ s[-5:] }} {{ s[::3] }} {{ l[5:] }} {{ range(5)[1:3]|list }}", "[1, 2] [2, 1, 3] [3] world hlwl [] [1, 2]")]
    [InlineData("{{ e|length }} {{ e[1] }} {{ e[::-1] }} {{ e.find('b') }}", "3 😀 b😀a 2")]
    [InlineData("{{ m[0].role }} {{ m.0.n }} {{ none_such }} {{ d.none_such }} {{ l[9] }}|", "user 1   |")]
    // Statements
    [InlineData("{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}", "1/2:3,2/2:2")]
    [InlineData("{% for x in [] %}a{% else %}b{% endfor %}", "b")]
    [InlineData("{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}", "6")]
    [InlineData("{% for x in range(9) %}{% if x == 1 %}{% continue %}{% elif x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}", "023")]
    [InlineData("{% for x in 'abc' %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.revindex }}{{ loop.cycle('-', '+') }}{% endfor %}", "b3-ac2+b1-")]
    [InlineData("{% for x in [1, [2, [3]]] recursive %}{% if x is sequence %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}", "1@1(2@2(3@3))")]
    [InlineData("{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}", "TrueFalseTrue")]
    [InlineData("{% set x = 1 %}{% for i in l %}{% set x = 2 %}{% endfor %}{{ x }}{% if 1 %}{% set x = 3 %}{% endif %}{{ x }}", "13")]
    [InlineData("{% set a, b = 1, 2 %}{{ b }}{% set x %}t{{ a }}{% endset %}{{ x }}{% set y | upper %}t{% endset %}{{ y }}", "2t1T")]
    [InlineData("{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "6")]
    [InlineData("{% with a=1, b=2 %}{{ a + b }}{% endwith %}{{ a }}", "3")]
    [InlineData("{% macro f(a, b=a, *) %}{% endmacro %}", null)]
    [InlineData("{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }} {{ f(1, 3, 4, k=5) }} {{ f(b=1) }}", "12(){} 13(4,){'k': 5} 1(){}")]
    [InlineData("{% macro f(t) %}<{{ caller(t) }}>{% endmacro %}{% call(x) f('a') %}{{ x }}!{% endcall %}", "<a!>")]
    [InlineData("{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}", "1")]
    [InlineData("{% filter upper|replace('A', 'b') %}a{{ s }}{% endfilter %}", "bHELLO WORLD")]
    [InlineData("{% generation %}a{% set q = 1 %}{% endgeneration %}{{ q }}|{% block b %}{{ s }}{% endblock b %}", "a|hello world")]
    [InlineData("{% print 1, 2 %}{% do l.append(4) %}{{ l }}{% autoescape true %}<{% endautoescape %}", "12[3, 1, 2, 4]<")]
    // Filters
    [InlineData("{{ l|sort }} {{ l|sort(reverse=true) }} {{ l|sum }} {{ l|min }} {{ l|max }} {{ l|first }} {{ l|last }} {{ l|reverse|list }}", "[1, 2, 3] [3, 2, 1] 6 1 3 3 2 [2, 1, 3]")]
    [InlineData("{{ m|map(attribute='role')|list }} {{ m|selectattr('n', 'gt', 1)|map(attribute='n')|list }} {{ m|rejectattr('role', 'equalto', 'user')|list|length }}", "['user', 'tool'] [2] 1")]
    [InlineData("{{ ['b', 'A', 'a']|sort }} {{ ['b', 'A', 'a']|unique|list }} {{ ['b', 'A']|sort(case_sensitive=true) }}", "['A', 'a', 'b'] ['b', 'A'] ['A', 'b']")]
    [InlineData("{{ d|tojson }} {{ 'é<\"\\u0001'|tojson }} {{ 1e400|tojson }} {{ {1: 2, none: 3, true: 4}|tojson }}", "{\"b\": 1, \"a\": [1, 2.5, null, true]} \"é<\\\"\\u0001\" Infinity {\"1\": 4, \"null\": 3}")]
    [InlineData("{{ d|tojson(indent=1) }}", "{\n \"b\": 1,\n \"a\": [\n  1,\n  2.5,\n  null,\n  true\n ]\n}")]
    [InlineData("{{ '12.7'|int }} {{ 'x'|int(-1) }} {{ '0x1f'|int(0, 16) }} {{ ' 5 '|int }} {{ '1e3'|float }} {{ 'x'|float }} {{ none|int }} {{ 3.99|int }}", "12 -1 31 5 1000.0 0.0 0 3")]
    [InlineData("{{ 2.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 42|round }} {{ 1234.5|round(-2) }}", "2.0 2.67 3.0 42 1200.0")]
    [InlineData("{{ s|title }} {{ \"it's\"|title }} {{ s|capitalize }} {{ s|replace('o', '0', 1) }} {{ s|truncate(8, leeway=0) }} {{ s|wordcount }}", "Hello World It's Hello world hell0 world hello... 2")]
    [InlineData("{{ [1, 2, 3]|batch(2)|list }} {{ [1, 2, 3]|slice(2)|list }} {{ m|groupby('role')|map('first')|list }}", "[[1, 2], [3]] [[1, 2], [3]] ['tool', 'user']")]
    [InlineData("{{ none_such|default('x') }} {{ ''|d('x') }}|{{ ''|d('x', true) }} {{ none|default('x') }}", "x |x None")]
    [InlineData("{{ '%05.1f|%-4s|%+d|%x' % (3.14159, 'ab', 5, 255) }} {{ '%(a)s' % {'a': 1} }} {{ '%s-%s'|format(1, 2) }}", "003.1|ab  |+5|ff 1 1-2")]
    [InlineData("{{ '{:05.1f}|{:<4}|{:,}|{:x}|{!r}'.format(3.14159, 'ab', 1234567, 255, 'q') }} {{ '{0[k]} {a.k}'.format({'k': 1}, a={'k': 2}) }}", "003.1|ab  |1,234,567|ff|'q' 1 2")]
    [InlineData("{{ (m|selectattr('role', 'equalto', 'x') and 'true') }} {{ 'x' if m|select('none') else 'y' }}", "true x")]
    // Methods
    [InlineData("{{ ' a b  c '.split() }} {{ 'a,b,,c'.split(',', 2) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }}", "['a', 'b', 'c'] ['a', 'b', ',c'] ['a,b', 'c'] [' a b', 'c']")]
    [InlineData("{{ 'xxaxx'.strip('x') }} {{ 'xxaxx'.lstrip('x') }} {{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'abcabc'.count('bc') }} {{ 'abc'.find('z') }} {{ s.index('w') }}", "a axx ['a', 'b', 'c'] 2 -1 6")]
    [InlineData("{{ s.startswith(('x', 'h')) }} {{ s.endswith('d', 0, 5) }} {{ '12'.isdigit() }} {{ 'ab'.upper().lower().islower() }} {{ '7'.zfill(3) }}", "True False True True 007")]
    [InlineData("{{ d.get('zz', 5) }} {{ d.keys()|list }} {{ d.pop('b') }} {{ d|length }} {{ d.update({'c': 1}) }} {{ d|list }}", "5 ['b', 'a'] 1 1 None ['a', 'c']")]
    [InlineData("{{ l.index(1) }} {{ l.count(3) }} {{ l.pop() }} {{ l.insert(0, 9) }} {{ l }}", "1 1 2 None [9, 3, 1]")]
    // Tests
    [InlineData("{{ 1 is number }} {{ true is number }} {{ true is integer }} {{ 's' is sequence }} {{ d is mapping }} {{ d is sequence }} {{ 5 is divisibleby 5 }}", "True True False True True True True")]
    [InlineData("{{ x is defined }} {{ x is undefined }} {{ none is none }} {{ s is string and s is not none }} {{ 3 is odd }} {{ 1 is in [1] }} {{ 2 is sameas 2 }}", "False True True True True True True")]
    // Globals
    [InlineData("{{ range(3)|list }} {{ range(5, 1, -2)|list }} {{ range(3) }} {{ dict(a=1, **{'b': 2}) }} {{ dict([(1, 2)]) }}", "[0, 1, 2] [5, 3] range(0, 3) {'a': 1, 'b': 2} {1: 2}")]
    [InlineData("{% set j = joiner('|') %}{{ j() }}a{{ j() }}b {% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}", "a|b xyxy")]
    [InlineData("{{ strftime_now('%d %b %Y|%A %-d %B %y|%H:%M:%S %p|%j %e %%') }}", "10 Jul 2025|Thursday 10 July 25|12:00:00 PM|191 10 %")]
    [InlineData("{{ ('<a>'|safe) + '<b>' }} {{ '<a>'|e }} {{ '<a>'|safe ~ '<b>' }}", "<a>&lt;b&gt; &lt;a&gt; <a><b>")]
    public void Render_Construct_GivesWhatJinja2Gives(string template, string? expected)
    {
        if (expected is null)
            JinjaRun.Error(template, Variables).Line.ShouldBe(1);
        else
            JinjaRun.Text(template, Variables).ShouldBe(expected);
    }

    [Theory]
    [InlineData("a\nb {{ x.y.z }}", "'x' is undefined", 2, 8)]
    [InlineData("{{ {}.y.z }}", "has no attribute 'y'", 1, 9)]
    [InlineData("{{ 1 + x }}", "'x' is undefined", 1, 6)]
    [InlineData("{{ 'a' + 1 }}", "'+' cannot join str and int", 1, 8)]
    [InlineData("{{ 1 / 0 }}", "Division by zero", 1, 6)]
    [InlineData("{{ x() }}", "'x' is undefined", 1, 5)]
    [InlineData("{{ 1|nope }}", "no filter 'nope'", 1, 6)]
    [InlineData("{{ 1 is nope }}", "no test 'nope'", 1, 6)]
    [InlineData("{{ raise_exception('Roles must alternate') }}", "Roles must alternate", 1, 19)]
    [InlineData("{{ 1 ", "has no end '}}'", 1, 1)]
    [InlineData("{{ 1 }", "Unexpected '}'", 1, 6)]
    [InlineData("{{ (1 }}", "Unexpected '}', expected ')'", 1, 7)]
    [InlineData("\n{% if x %}", "The tag 'if' has no end", 2, 4)]
    [InlineData("{% endif %}", "closes nothing", 1, 4)]
    [InlineData("{% for x in y %}{% endif %}", "does not fit the open tag 'for'", 1, 20)]
    [InlineData("{% nope %}", "Unknown tag 'nope'", 1, 4)]
    [InlineData("{% include 'x' %}", "not supported", 1, 4)]
    [InlineData("{% from 'x' import y %}", "not supported", 1, 4)]
    [InlineData("{% break %}", "outside a loop", 1, 4)]
    [InlineData("{# a", "has no end '#}'", 1, 1)]
    [InlineData("{{ 'a }}", "The string has no end", 1, 4)]
    [InlineData("{{ 1 $ 2 }}", "Unexpected character '$'", 1, 6)]
    [InlineData("{% set x.y = 1 %}", "'x' is undefined", 1, 8)]
    [InlineData("{% for a, b in [1] %}{% endfor %}", "cannot be looped over", 1, 8)]
    [InlineData("{% for a, b in [(1, 2, 3)] %}{% endfor %}", "2 variables cannot take 3 values", 1, 8)]
    [InlineData("{% for a in 5 %}{% endfor %}", "cannot be looped over", 1, 13)]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "at most 1", 1, 35)]
    [InlineData("{{ x|tojson }}", "'x' is undefined", 1, 6)]
    [InlineData("{{ {[1]: 2} }}", "cannot be a key", 1, 6)]
    [InlineData("{{ [1, 'a']|sort }}", "not supported between", 1, 13)]
    [InlineData("{{ none[1:] }}", "cannot be sliced", 1, 8)]
    public void Render_Mistake_NamesItAndItsPlace(string template, string message, int line, int column)
    {
        var error = JinjaRun.Error(template);
        error.Message.ShouldContain(message);
        (error.Line, error.Column).ShouldBe((line, column));
    }
}
