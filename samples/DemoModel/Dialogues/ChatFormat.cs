using System.Text;

namespace DemoModel.Dialogues;

/// <summary>A piece of a rendered dialogue.</summary>
/// <param name="Text">The text; a control token by its content.</param>
/// <param name="IsControl">A control token.</param>
/// <param name="IsModel">The model writes it: an answer, a tool call, or the end of its turn.</param>
/// <param name="TurnIndex">Index of the scripted turn, -1 for the system turn.</param>
public readonly record struct DialoguePiece(string Text, bool IsControl, bool IsModel, int TurnIndex);

/// <summary>The demo model's chat format in code. It equals what <see cref="Template"/> renders; a test compares them.</summary>
public static class ChatFormat
{
    /// <summary>Ends a document; the padding token.</summary>
    public const string EndOfText = "<|endoftext|>";

    /// <summary>Begins a turn.</summary>
    public const string TurnStart = "<|im_start|>";

    /// <summary>Ends a turn.</summary>
    public const string TurnEnd = "<|im_end|>";

    /// <summary>The chat template (Jinja) that ships with the model.</summary>
    public const string Template =
        """
        {%- if messages and messages[0].role == 'system' %}
            {%- set system = messages[0].content %}
        {%- else %}
            {%- set system = '' %}
        {%- endif %}
        {%- if tools or system %}
            {{- '<|im_start|>system\n' + system }}
            {%- if tools %}
                {%- if system %}{{- '\n\n' }}{%- endif %}
                {{- 'Tools:' }}
                {%- for tool in tools %}
                    {%- set function = tool.function if tool.function is defined else tool %}
                    {{- '\n- ' + function.name + '(' }}
                    {%- if function.parameters and function.parameters.properties %}
                        {%- for name, schema in function.parameters.properties.items() %}
                            {{- name + ': ' + (schema.type if schema.type is string else 'any') }}
                            {%- if not loop.last %}{{- ', ' }}{%- endif %}
                        {%- endfor %}
                    {%- endif %}
                    {{- ')' }}
                    {%- if function.description %}{{- ': ' + function.description }}{%- endif %}
                {%- endfor %}
            {%- endif %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'tool' %}
                {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
                {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
                {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
            {%- elif message.role == 'assistant' %}
                {{- '<|im_start|>assistant\n' }}
                {%- if message.content %}{{- message.content }}{%- endif %}
                {%- if message.tool_calls %}
                    {%- for call in message.tool_calls %}
                        {%- set function = call.function if call.function is defined else call %}
                        {%- if message.content or not loop.first %}{{- '\n' }}{%- endif %}
                        {{- '<tool_call>\n{"name": "' + function.name + '", "arguments": ' }}
                        {{- function.arguments if function.arguments is string else function.arguments | tojson }}
                        {{- '}\n</tool_call>' }}
                    {%- endfor %}
                {%- endif %}
                {{- '<|im_end|>\n' }}
            {%- elif not (message.role == 'system' and loop.first) %}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """;

    /// <summary>The system turn.</summary>
    public static IEnumerable<DialoguePiece> System(string prompt, IReadOnlyList<DemoTool> tools)
    {
        ArgumentNullException.ThrowIfNull(tools);
        if (prompt.Length == 0 && tools.Count == 0)
            return [];
        var text = new StringBuilder("system\n").Append(prompt);
        if (tools.Count > 0)
        {
            text.Append(prompt.Length > 0 ? "\n\n" : "").Append("Tools:");
            foreach (DemoTool tool in tools)
                text.Append("\n- ").Append(tool.Name).Append('(').AppendJoin(", ", tool.Parameters.Select(p => $"{p.Name}: {p.Type}"))
                    .Append("): ").Append(tool.Description);
        }

        return Turn(text.ToString(), -1);
    }

    /// <summary>A scripted turn: the user's text, the calls and their results if any, and the answer.</summary>
    public static IEnumerable<DialoguePiece> Turn(ScriptedTurn turn, int index)
    {
        ArgumentNullException.ThrowIfNull(turn);
        IEnumerable<DialoguePiece> pieces = Turn("user\n" + turn.UserText, index);
        foreach (IReadOnlyList<ScriptedCall> round in turn.Rounds)
        {
            pieces = pieces
                .Concat(ModelTurn(string.Join("\n", round.Select(Call)), index))
                .Concat(Turn("user" + string.Concat(round.Select(c => $"\n<tool_response>\n{c.Result}\n</tool_response>")), index));
        }

        return pieces.Concat(ModelTurn(turn.Answer, index));
    }

    /// <summary>A tool call as the model writes it.</summary>
    public static string Call(ScriptedCall call)
    {
        ArgumentNullException.ThrowIfNull(call);
        return $"<tool_call>\n{{\"name\": \"{call.Name}\", \"arguments\": {call.ArgumentsJson}}}\n</tool_call>";
    }

    private static DialoguePiece[] Turn(string text, int index) =>
    [
        new(TurnStart, true, false, index), new(text, false, false, index), new(TurnEnd, true, false, index), new("\n", false, false, index),
    ];

    private static DialoguePiece[] ModelTurn(string text, int index) =>
    [
        new(TurnStart, true, false, index), new("assistant\n", false, false, index),
        new(text, false, true, index), new(TurnEnd, true, true, index), new("\n", false, false, index),
    ];
}
