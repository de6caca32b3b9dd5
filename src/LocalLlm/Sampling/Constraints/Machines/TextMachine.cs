using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Sampling.Constraints.Machines;

/// <summary>Text of a regular language in UTF-8.</summary>
internal sealed class TextMachine : ByteMachine<PartialCharacter>
{
    private readonly CharDfa language;

    public TextMachine(CharDfa language)
    {
        this.language = language;
        State(new PartialCharacter(language.Start, 0, 0));
    }

    protected override bool IsAccepting(PartialCharacter value) => value.Left == 0 && language.IsAccepting(value.State);

    protected override PartialCharacter? Next(PartialCharacter value, byte next) => Utf8.Step(language, value, next);
}
