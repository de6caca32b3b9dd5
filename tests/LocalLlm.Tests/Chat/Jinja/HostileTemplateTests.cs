using LocalLlm.Chat.Jinja;

namespace LocalLlm.Tests.Chat.Jinja;

/// <summary>Templates made to hang, to overflow the stack or to eat the memory end in an error.</summary>
public class HostileTemplateTests
{
    // By name, since the runner would print and keep every argument.
    private static readonly Dictionary<string, string> DeepTemplates = new()
    {
        ["parentheses"] = "{{ " + new string('(', 100_000) + "1" + new string(')', 100_000) + " }}",
        ["unclosed parentheses"] = "{{ " + new string('(', 100_000),
        ["lists"] = "{{ " + new string('[', 100_000) + new string(']', 100_000) + " }}",
        ["dicts"] = "{{ " + Many("{1:") + "1" + new string('}', 100_000) + " }}",
        ["signs"] = "{{ " + new string('-', 100_000) + "1 }}",
        ["not"] = "{{ " + Many("not ") + "1 }}",
        ["inline if"] = "{{ " + Many("1 if 0 else ", 80_000) + "1 }}",
        ["sums"] = "{{ 1" + Many("+1") + " }}",
        ["and"] = "{{ 1" + Many(" and 1") + " }}",
        ["attributes"] = "{{ {}" + Many(".a") + " }}",
        ["calls"] = "{{ range" + Many("()") + " }}",
        ["filters"] = "{{ 1" + Many("|abs") + " }}",
        ["filter block"] = "{% filter upper" + Many("|upper") + " %}a{% endfilter %}",
        ["if blocks"] = Many("{% if 1 %}", 50_000),
        ["for blocks"] = Many("{% for i in x %}", 50_000),
        ["macros"] = Many("{% macro m() %}", 50_000),
        ["targets"] = "{% for " + new string('(', 100_000) + "a" + new string(')', 100_000) + " in x %}",
        ["subscripts"] = "{{ " + Many("a[") + "1" + new string(']', 100_000) + " }}",
        ["tests"] = "{{ 1" + Many(" is eq(1") + new string(')', 100_000) + " }}",
        ["arguments"] = "{{ " + Many("f(") + "1" + new string(')', 100_000) + " }}",
    };

    public static TheoryData<string> DeepNames => [.. DeepTemplates.Keys];

    [Theory]
    [MemberData(nameof(DeepNames))]
    public void Render_DeepNesting_EndsInAnError(string name) => JinjaRun.Error(DeepTemplates[name]).Line.ShouldBeGreaterThan(0);

    [Theory]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")]
    [InlineData("{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}")]
    [InlineData("{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}")]
    [InlineData("{% set l = [1] %}{% for x in l recursive %}{{ loop(l) }}{% endfor %}")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{% set m = [] %}{% set _ = m.append(m) %}{{ l == m }}")]
    [InlineData("{% set l = [] %}{% set _ = l.append(l) %}{% set m = [] %}{% set _ = m.append(m) %}{{ l < m }}")]
    [InlineData("{% set d = {} %}{% set _ = d.update({'a': d}) %}{{ d|string }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}")]
    public void Render_EndlessRecursion_EndsInAnError(string template) => JinjaRun.Error(template).Message.ShouldContain("nest");

    [Theory]
    [InlineData("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")]
    [InlineData("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = ns.s|replace('', ns.s) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = '%s%s'|format(ns.s, ns.s) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='0123456789') %}{% for a in range(100000) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for a in range(100000) %}{% set ns.l = ns.l + ns.l %}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for a in range(100000) %}{% set _ = ns.l.extend(ns.l) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for a in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for a in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}")]
    [InlineData("{% set ns = namespace(a=[1], b=[1]) %}{% for a in range(100) %}{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}")]
    [InlineData("{% set ns = namespace(n=9) %}{% for a in range(100000) %}{% set ns.n = ns.n * ns.n %}{% endfor %}")]
    [InlineData("{{ 'x' * 1000000000 }}")]
    [InlineData("{{ 'x' * 10000000000000000000000 }}")]
    [InlineData("{{ [0] * 1000000000 }}")]
    [InlineData("{{ ([0] * 1000000) * 1000000 }}")]
    [InlineData("{{ range(1000000000000) }}")]
    [InlineData("{{ range(100001)|list }}")]
    [InlineData("{{ 9 ** 9 ** 9 ** 9 ** 9 }}")]
    [InlineData("{{ 2 ** 100000000 }}")]
    [InlineData("{{ 'x'.center(1000000000) }}")]
    [InlineData("{{ 'x'|center(1000000000) }}")]
    [InlineData("{{ 'x'.zfill(1000000000) }}")]
    [InlineData("{{ 'x\\ny'|indent(1000000000) }}")]
    [InlineData("{{ '%1000000000d' % 1 }}")]
    [InlineData("{{ '%.1000000000f' % 1 }}")]
    [InlineData("{{ '%*d' % (1000000000, 1) }}")]
    [InlineData("{{ '{:>1000000000}'.format(1) }}")]
    [InlineData("{{ '{:{}}'.format(1, 1000000000) }}")]
    [InlineData("{{ '{:99999999999999999999}'.format(1) }}")]
    [InlineData("{{ [1]|tojson(indent=1000000000) }}")]
    [InlineData("{{ [1]|batch(1000000000, 0)|list }}")]
    [InlineData("{{ [1]|slice(1000000000)|list }}")]
    [InlineData("{{ 1|round(1000000000) }}{{ 1.5|round(-1000000000) }}{{ 'x' * 99999999 }}")]
    public void Render_EndlessWork_EndsInAnError(string template) => JinjaRun.Error(template, limits: new() { Steps = 1_000_000 }).Line.ShouldBe(1);

    [Fact]
    public void Render_EndlessWorkWithTheDefaultLimits_EndsInAnError() =>
        JinjaRun.Error("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}").Message.ShouldContain(nameof(JinjaLimits.Steps));

    [Fact]
    public void Render_EndlessMessage_IsCutInTheError() =>
        JinjaRun.Error("{{ raise_exception('x' * 1000000) }}").Message.Length.ShouldBeLessThan(3000);

    private static string Many(string text, int count = 100_000) => string.Concat(Enumerable.Repeat(text, count));

    [Fact]
    public void Parse_TooLong_NamesTheLimit() =>
        JinjaRun.Error(new string('x', JinjaLimits.Default.TemplateLength + 1)).Message.ShouldContain(nameof(JinjaLimits.TemplateLength));

    [Fact]
    public void Render_TooManySteps_NamesTheLimit() =>
        JinjaRun.Error("{% for i in range(1000) %}{{ i }}{% endfor %}", limits: new() { Steps = 500 }).Message.ShouldContain(nameof(JinjaLimits.Steps));

    [Fact]
    public void Render_OutputTooLong_NamesTheLimit() =>
        JinjaRun.Error("{% for i in range(1000) %}{{ i }}{% endfor %}", limits: new() { StringLength = 500 }).Message.ShouldContain(nameof(JinjaLimits.StringLength));

    [Fact]
    public void Render_HalfOfALimit_Passes() =>
        JinjaRun.Text("{{ " + new string('(', 70) + "1" + new string(')', 70) + " }}{{ 'x' * 10 }}", limits: new() { StringLength = 11 }).ShouldBe("1xxxxxxxxxx");

    [Fact]
    public void Render_OnASmallStack_EndsInAnError()
    {
        // Every limit raised: what is left is the guard of the stack itself.
        Exception? caught = null;
        var thread = new Thread(() =>
        {
            try
            {
                JinjaRun.Text("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", limits: new() { RenderDepth = int.MaxValue, Steps = long.MaxValue });
            }
            catch (ChatTemplateException e)
            {
                caught = e;
            }
        }, maxStackSize: 1 << 19);
        thread.Start();
        thread.Join();
        caught.ShouldNotBeNull().Message.ShouldContain("stack");
    }
}
