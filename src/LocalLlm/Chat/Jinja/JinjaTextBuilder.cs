using System.Text;

namespace LocalLlm.Chat.Jinja;

/// <summary>Collects text with its provenance, within the limits of a render.</summary>
internal sealed class JinjaTextBuilder(RenderContext context)
{
    private readonly StringBuilder _text = new();
    private readonly List<int> _ends = [];
    private bool _firstIsTemplate = true;
    private bool _lastIsTemplate = true;

    public int Length => _text.Length;

    public JinjaTextBuilder Append(string value, bool isTemplate)
    {
        if (value.Length == 0)
            return this;
        Mark(value.Length, isTemplate);
        _text.Append(value);
        return this;
    }

    /// <summary>Appends what the template wrote.</summary>
    public JinjaTextBuilder Append(string value) => Append(value, isTemplate: true);

    public JinjaTextBuilder Append(char value, bool isTemplate)
    {
        Mark(1, isTemplate);
        _text.Append(value);
        return this;
    }

    public JinjaTextBuilder Append(JinjaText value) => Append(value, 0, value.Length);

    /// <summary>Appends a part of a text, by UTF-16 units.</summary>
    public JinjaTextBuilder Append(JinjaText value, int start, int length)
    {
        if (length == 0)
            return this;
        if (value.RunCount == 1)
        {
            Mark(length, value.Run(0).IsTemplate);
        }
        else
        {
            var end = start + length;
            for (var i = value.RunIndexAt(start); start < end; i++)
            {
                var run = value.Run(i);
                var to = Math.Min(run.End, end);
                Mark(to - start, run.IsTemplate);
                _text.Append(value.Value, start, to - start);
                start = to;
            }
            return this;
        }
        _text.Append(value.Value, start, length);
        return this;
    }

    public JinjaTextBuilder Append(char value, int count, bool isTemplate)
    {
        if (count <= 0)
            return this;
        Mark(count, isTemplate);
        _text.Append(value, count);
        return this;
    }

    public JinjaText ToText() => JinjaText.FromRuns(_text.ToString(), [.. _ends], _firstIsTemplate);

    public IReadOnlyList<PromptSegment> ToSegments()
    {
        var segments = new List<PromptSegment>(_ends.Count + 1);
        var text = ToText();
        for (var i = 0; i < text.RunCount && text.Length > 0; i++)
        {
            var (start, end, isTemplate) = text.Run(i);
            segments.Add(new PromptSegment(text.Value[start..end], isTemplate));
        }
        return segments;
    }

    private void Mark(int length, bool isTemplate)
    {
        context.ChargeString(length, _text.Length);
        if (_text.Length == 0)
            _firstIsTemplate = isTemplate;
        else if (isTemplate != _lastIsTemplate)
            _ends.Add(_text.Length);
        _lastIsTemplate = isTemplate;
    }
}
