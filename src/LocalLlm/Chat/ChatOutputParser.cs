using System.Text;

namespace LocalLlm.Chat;

/// <summary>
/// Turns a model's answer, as it is generated, into text, reasoning and tool calls. Text leaves at once; held back is only what may be
/// the beginning of a marker, white space that a marker would swallow, and a tool call until it is whole. What turns out to be no valid
/// call is given as text, so that nothing is lost; but of a call that the token limit cut short nothing is given, neither as a call nor as
/// text. The updates, joined, do not depend on how the answer was cut.
/// </summary>
internal sealed class ChatOutputParser
{
    private readonly ReasoningMarkers _reasoning;
    private readonly ToolCallReader _reader;
    private readonly IReadOnlyList<string> _openers;
    private readonly IReadOnlyList<string> _openersAtStart;
    private readonly StringBuilder _run = new();
    private readonly List<GenerationUpdate> _updates = [];

    private string _pending = "";
    private State _state;
    private string _opener = "";    // of the call that is being read
    private string _spaceBefore = ""; // white space before that call, for the case that it is none
    private bool _isStart = true;   // nothing but white space was given as text since the beginning, or the last call
    private bool _dropsSpace;       // white space that comes next belongs to a marker before it
    private bool _runIsReasoning;
    private bool _isCutShort;

    private enum State
    {
        Text,
        Reasoning,
        Call,
    }

    /// <param name="format">The form of tool calls.</param>
    /// <param name="startsInReasoning">True if the prompt ends inside the reasoning.</param>
    /// <param name="reasoning">What begins and ends reasoning; null for <c>&lt;think&gt;</c>.</param>
    /// <param name="toolNames">The tools of the request; if there are none, no call is recognised.</param>
    /// <param name="newCallId">Makes the ids of calls; null for random ones.</param>
    public ChatOutputParser(
        ToolCallFormat format, bool startsInReasoning, ReasoningMarkers? reasoning, IReadOnlySet<string> toolNames, Func<string>? newCallId = null)
    {
        if (toolNames.Count == 0)
            format = ToolCallFormat.None;
        _reasoning = reasoning ?? ReasoningMarkers.Think;
        _reader = new(format, toolNames, newCallId);
        (_openers, _openersAtStart) = ToolCallFormats.Openers(format);
        _state = startsInReasoning ? State.Reasoning : State.Text;
        _dropsSpace = startsInReasoning;
        ControlMarkers = [_reasoning.Open, _reasoning.Close, .. ToolCallFormats.ControlMarkers(format)];
    }

    /// <summary>Texts that must be given to the parser even where the tokenizer holds them as special tokens; it needs no others.</summary>
    public IReadOnlyList<string> ControlMarkers { get; }

    /// <summary>True while the answer is inside the reasoning.</summary>
    public bool InReasoning => _state == State.Reasoning;

    /// <summary>True once a tool call was given.</summary>
    public bool HasToolCalls { get; private set; }

    /// <summary>Takes more of the answer, cut anywhere.</summary>
    public IReadOnlyList<GenerationUpdate> Add(string text)
    {
        _pending += text;
        return Drain(isEnd: false);
    }

    /// <summary>Ends the answer and gives what was held back.</summary>
    /// <param name="isCutShort">The token limit ended the answer: a call that has begun is not shown.</param>
    public IReadOnlyList<GenerationUpdate> Finish(bool isCutShort = false)
    {
        _isCutShort = isCutShort;
        return Drain(isEnd: true);
    }

    private List<GenerationUpdate> Drain(bool isEnd)
    {
        _updates.Clear();
        while (_state switch
        {
            State.Reasoning => ReadReasoning(isEnd),
            State.Call => ReadCall(isEnd),
            _ => ReadText(isEnd),
        })
        {
        }
        FlushRun();
        return [.. _updates];
    }

    private bool ReadReasoning(bool isEnd)
    {
        if (_dropsSpace && !DropSpace(isEnd, _reasoning.Open))
            return false;
        var close = _pending.IndexOf(_reasoning.Close, StringComparison.Ordinal);
        if (close < 0)
        {
            Emit(isEnd ? _pending.Length : WithoutTail([_reasoning.Close]), isReasoning: true, isEnd);
            return false;
        }
        Emit(TrimEnd(close), isReasoning: true);
        _pending = _pending[(_pending.IndexOf(_reasoning.Close, StringComparison.Ordinal) + _reasoning.Close.Length)..];
        (_state, _dropsSpace, _isStart) = (State.Text, true, true);
        return true;
    }

    /// <summary>Drops white space, and markers that repeat the one before; false if more text is needed to know.</summary>
    private bool DropSpace(bool isEnd, string? repeated)
    {
        _pending = _pending.TrimStart();
        while (repeated is not null && _pending.StartsWith(repeated, StringComparison.Ordinal))
            _pending = _pending[repeated.Length..].TrimStart();
        if (!isEnd && repeated?.StartsWith(_pending, StringComparison.Ordinal) == true)
            return false;
        if (_pending.Length == 0)
            return false;
        _dropsSpace = false;
        return true;
    }

    private bool ReadText(bool isEnd)
    {
        if (_dropsSpace && !DropSpace(isEnd, null))
            return false;
        var (at, marker) = FirstMarker();
        if (marker is null)
        {
            // One character may be text as well; more of a marker is a call that has begun.
            if (_isCutShort && MarkerTail(_openers) is > 1 and var begun)
                _pending = _pending[..TrimEnd(_pending.Length - begun)];
            Emit(isEnd ? _pending.Length : WithoutTail(Markers()), isReasoning: false, isEnd);
            return false;
        }
        var textEnd = TrimEnd(at);
        var space = _pending[textEnd..at];
        var rest = _pending[(at + marker.Length)..];
        Emit(textEnd, isReasoning: false);
        _pending = rest;
        if (marker == _reasoning.Open)
            (_state, _dropsSpace) = (State.Reasoning, true);
        else
            (_state, _opener, _spaceBefore) = (State.Call, marker, space);
        return true;
    }

    /// <summary>The first marker in the pending text that counts where it stands.</summary>
    private (int At, string? Marker) FirstMarker()
    {
        var (first, found) = (int.MaxValue, (string?)null);
        foreach (var opener in _openers)
            if (_pending.IndexOf(opener, StringComparison.Ordinal) is var at and >= 0 && at < first)
                (first, found) = (at, opener);
        if (_isStart)
        {
            var start = _pending.Length - _pending.AsSpan().TrimStart().Length;
            foreach (var opener in (string[])[_reasoning.Open, .. _openersAtStart])
                if (start < first && _pending.AsSpan(start).StartsWith(opener, StringComparison.Ordinal))
                    (first, found) = (start, opener);
        }
        return (first, found);
    }

    /// <summary>The markers that count from here on.</summary>
    private IReadOnlyList<string> Markers()
    {
        if (!_isStart || _pending.AsSpan().TrimStart().Length == 0)
            return _isStart ? [.. _openers, .. _openersAtStart, _reasoning.Open] : _openers;
        // At the start the pending text as a whole may be the beginning of such a marker.
        var text = _pending.TrimStart();
        return [.. _openers, .. ((string[])[.. _openersAtStart, _reasoning.Open]).Where(m => m.StartsWith(text, StringComparison.Ordinal))];
    }

    private bool ReadCall(bool isEnd)
    {
        var reading = _reader.Read(_pending, _opener, isEnd, _isCutShort);
        if (_isCutShort && _reader.Read(_pending, _opener, isEnd: false).Status == ToolCallReading.Outcome.NeedsMore)
        {
            // Whole calls count; the rest might have become one and is dropped.
            reading = new(ToolCallReading.Outcome.Calls, _pending.Length, reading.Calls);
        }
        switch (reading.Status)
        {
            case ToolCallReading.Outcome.NeedsMore:
                return false;
            case ToolCallReading.Outcome.Calls:
                FlushRun();
                foreach (var call in reading.Calls)
                    _updates.Add(new ToolCallUpdate(call));
                HasToolCalls |= reading.Calls.Count > 0;
                _pending = _pending[reading.Length..];
                (_state, _isStart, _dropsSpace) = (State.Text, _opener != "{", true);
                return true;
            default:
                // Shown as text: the marker too, which must not be found again.
                var shown = _spaceBefore + _opener;
                _pending = shown + _pending;
                Emit(shown.Length + reading.Length, isReasoning: false, ignoreCut: true);
                (_state, _isStart) = (State.Text, false);
                return true;
        }
    }

    /// <summary>Gives the first characters of the pending text.</summary>
    private void Emit(int length, bool isReasoning, bool ignoreCut = false)
    {
        // Half a character waits for its other half, unless a marker or the end cuts it off anyway.
        if (!ignoreCut && length > 0 && length == _pending.Length && char.IsHighSurrogate(_pending[length - 1]))
            length--;
        if (length <= 0)
            return;
        var text = _pending[..length];
        _pending = _pending[length..];
        if (isReasoning != _runIsReasoning)
            FlushRun();
        _runIsReasoning = isReasoning;
        _run.Append(text);
        if (!isReasoning && !string.IsNullOrWhiteSpace(text))
            _isStart = false;
    }

    private void FlushRun()
    {
        if (_run.Length > 0)
            _updates.Add(_runIsReasoning ? new ReasoningDelta(_run.ToString()) : new TextDelta(_run.ToString()));
        _run.Clear();
    }

    /// <summary>The length of the longest end of the pending text that may be the beginning of a marker.</summary>
    private int MarkerTail(IReadOnlyList<string> markers)
    {
        var longest = 0;
        foreach (var marker in markers)
            for (var length = Math.Min(marker.Length - 1, _pending.Length); length > longest; length--)
                if (_pending.AsSpan().EndsWith(marker.AsSpan(0, length), StringComparison.Ordinal))
                    longest = length;
        return longest;
    }

    /// <summary>How much may leave now: not what may begin a marker, nor the white space before it, which the marker would swallow.</summary>
    private int WithoutTail(IReadOnlyList<string> markers) => markers.Count == 0 ? _pending.Length : TrimEnd(_pending.Length - MarkerTail(markers));

    private int TrimEnd(int length) => _pending.AsSpan(0, length).TrimEnd().Length;
}
