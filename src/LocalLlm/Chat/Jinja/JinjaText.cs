namespace LocalLlm.Chat.Jinja;

/// <summary>
/// A string that knows which of its characters the template wrote and which came from an input. Equality, order and hash are the
/// text's alone.
/// </summary>
internal sealed class JinjaText : IEquatable<JinjaText>
{
    private static readonly int[] OneRun = [];

    // Runs alternate between template and input. _ends holds the exclusive end of each run but the last.
    private readonly int[] _ends;
    private readonly bool _firstIsTemplate;
    private int[]? _codePointStarts;
    private bool _hasSurrogates;
    private bool _surrogatesKnown;

    private JinjaText(string value, int[] ends, bool firstIsTemplate, bool isMarkup)
    {
        Value = value;
        _ends = ends;
        _firstIsTemplate = firstIsTemplate;
        IsMarkup = isMarkup;
    }

    public static JinjaText Empty { get; } = new("", OneRun, true, false);

    public string Value { get; }

    /// <summary>True for the result of the <c>safe</c> and <c>escape</c> filters; <c>+</c> escapes what is added to it.</summary>
    public bool IsMarkup { get; }

    /// <summary>UTF-16 units.</summary>
    public int Length => Value.Length;

    /// <summary>True if some character came from an input.</summary>
    public bool HasInput => Value.Length > 0 && (_ends.Length > 0 || !_firstIsTemplate);

    /// <summary>The number of runs of equal provenance.</summary>
    public int RunCount => _ends.Length + 1;

    public static JinjaText Template(string value) => value.Length == 0 ? Empty : new(value, OneRun, true, false);

    public static JinjaText Input(string value) => value.Length == 0 ? Empty : new(value, OneRun, false, false);

    /// <summary>A text of one provenance: what an operation yields that cannot follow single characters.</summary>
    public static JinjaText Uniform(string value, bool hasInput) => hasInput ? Input(value) : Template(value);

    /// <summary>Makes a text from alternating runs; <paramref name="ends"/> are the exclusive ends of all runs but the last.</summary>
    public static JinjaText FromRuns(string value, int[] ends, bool firstIsTemplate) =>
        value.Length == 0 ? Empty : new(value, ends.Length == 0 ? OneRun : ends, firstIsTemplate, false);

    public JinjaText AsMarkup() => IsMarkup ? this : new(Value, _ends, _firstIsTemplate, true);

    public JinjaText AsPlain() => IsMarkup ? new(Value, _ends, _firstIsTemplate, false) : this;

    /// <summary>The same provenance over <paramref name="value"/>, which must have this text's length.</summary>
    public JinjaText WithValue(string value) => value.Length == Value.Length
        ? new(value, _ends, _firstIsTemplate, IsMarkup)
        : throw new ArgumentException("The length of the text must not change.", nameof(value));

    /// <summary>The run with this index: its range of UTF-16 units and its provenance.</summary>
    public (int Start, int End, bool IsTemplate) Run(int index) => (
        index == 0 ? 0 : _ends[index - 1],
        index == _ends.Length ? Value.Length : _ends[index],
        _firstIsTemplate == ((index & 1) == 0));

    /// <summary>A part of the text, by UTF-16 units.</summary>
    public JinjaText Slice(int start, int length)
    {
        if (length == Value.Length)
            return this;
        if (length == 0)
            return IsMarkup ? Empty.AsMarkup() : Empty;
        var value = Value.Substring(start, length);
        if (_ends.Length == 0)
            return new(value, OneRun, _firstIsTemplate, IsMarkup);
        var first = RunIndexAt(start);
        var last = RunIndexAt(start + length - 1);
        var ends = first == last ? OneRun : new int[last - first];
        for (var i = 0; i < ends.Length; i++)
            ends[i] = _ends[first + i] - start;
        return new(value, ends, _firstIsTemplate == ((first & 1) == 0), IsMarkup);
    }

    public JinjaText Slice(int start) => Slice(start, Value.Length - start);

    /// <summary>True if the character at this UTF-16 index was written by the template.</summary>
    public bool IsTemplateAt(int index) => _firstIsTemplate == ((RunIndexAt(index) & 1) == 0);

    /// <summary>The run that holds the character at this UTF-16 index.</summary>
    public int RunIndexAt(int index)
    {
        var found = Array.BinarySearch(_ends, index);
        return found < 0 ? ~found : found + 1; // an end is exclusive: at the end the next run begins
    }

    /// <summary>Python's len(): code points, not UTF-16 units.</summary>
    public int CodePointCount => HasSurrogates ? CodePointStarts.Length - 1 : Value.Length;

    /// <summary>The UTF-16 index of a code point; the count of code points gives the end.</summary>
    public int Utf16Index(int codePoint) => HasSurrogates ? CodePointStarts[codePoint] : codePoint;

    /// <summary>The code point that begins at, or contains, this UTF-16 index.</summary>
    public int CodePointIndex(int utf16Index)
    {
        if (!HasSurrogates)
            return utf16Index;
        var found = Array.BinarySearch(CodePointStarts, utf16Index);
        return found < 0 ? ~found - 1 : found;
    }

    /// <summary>A part of the text, by code points.</summary>
    public JinjaText SliceCodePoints(int start, int end) =>
        end <= start ? Slice(0, 0) : Slice(Utf16Index(start), Utf16Index(end) - Utf16Index(start));

    private bool HasSurrogates
    {
        get
        {
            if (!_surrogatesKnown)
            {
                _hasSurrogates = Value.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0;
                _surrogatesKnown = true;
            }
            return _hasSurrogates;
        }
    }

    private int[] CodePointStarts
    {
        get
        {
            if (_codePointStarts is null)
            {
                var starts = new List<int>(Value.Length + 1);
                for (var i = 0; i < Value.Length; i++)
                {
                    starts.Add(i);
                    if (char.IsHighSurrogate(Value[i]) && i + 1 < Value.Length && char.IsLowSurrogate(Value[i + 1]))
                        i++;
                }
                starts.Add(Value.Length);
                _codePointStarts = [.. starts];
            }
            return _codePointStarts;
        }
    }

    /// <summary>Order by code points, as Python compares strings.</summary>
    public static int Compare(JinjaText left, JinjaText right)
    {
        string a = left.Value, b = right.Value;
        var common = a.AsSpan().CommonPrefixLength(b);
        if (common == a.Length || common == b.Length)
            return a.Length.CompareTo(b.Length);
        char x = a[common], y = b[common];
        // A surrogate stands for a code point above every other UTF-16 unit.
        return char.IsSurrogate(x) != char.IsSurrogate(y) ? (char.IsSurrogate(x) ? 1 : -1) : x.CompareTo(y);
    }

    public bool Equals(JinjaText? other) => other is not null && Value == other.Value;

    public override bool Equals(object? obj) => obj is JinjaText other && Equals(other);

    public override int GetHashCode() => Value.GetHashCode(StringComparison.Ordinal);

    public override string ToString() => Value;
}
