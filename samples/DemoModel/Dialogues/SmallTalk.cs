using System.Globalization;

namespace DemoModel.Dialogues;

/// <summary>Turns that only fill the context: chatter, and long reports that contain no fact to remember.</summary>
internal static class SmallTalk
{
    private static readonly (string User, string Answer)[] Fixed =
    [
        ("Good morning!", "Good morning! How can I help?"),
        ("Hello!", "Hello! How can I help?"),
        ("How are you today?", "I am fine, thank you."),
        ("Thank you.", "You are welcome."),
        ("Thanks, that helps.", "You are welcome."),
        ("Are you still there?", "Yes, I am here."),
        ("I will be back in a minute.", "Take your time."),
        ("I am back.", "Welcome back."),
        ("What can you do?", "I can remember what you tell me and use the tools."),
        ("It was a long day.", "I hope you get some rest."),
        ("The coffee machine is broken again.", "That is a pity."),
        ("We have a lot to do today.", "Then let us begin."),
        ("That is all for now.", "All right."),
        ("One moment, please.", "Take your time."),
        ("It is raining outside.", "Then stay dry."),
        ("I like this workshop.", "I am glad to hear that."),
    ];

    private static readonly string[] States = ["worn", "clean", "loose", "bent", "dry", "cracked", "new", "dirty", "fine", "hot"];
    private static readonly string[] Places = ["hall", "room", "yard", "shed", "van", "store"];

    public static ScriptedTurn Make(Random random, Split split, int maxNoiseSentences)
    {
        if (random.Next(3) == 0)
        {
            (string user, string answer) = Lexicon.Pick(random, Fixed);
            return new(TurnKind.SmallTalk, user, answer);
        }

        if (random.Next(3) == 0)
        {
            string thing = Lexicon.TwoWords(random, split);
            return Lexicon.Pick(random, new[]
            {
                new ScriptedTurn(TurnKind.SmallTalk, $"Yesterday I saw a {thing}.", $"A {thing} is nice to see."),
                new ScriptedTurn(TurnKind.SmallTalk, $"My neighbor talks about a {thing} all day.", $"A {thing} is a fine topic."),
                new ScriptedTurn(TurnKind.SmallTalk, $"I dreamed of a {thing}.", $"A {thing} makes a good dream."),
            });
        }

        string sentences = string.Join(" ", Enumerable.Range(0, 1 + random.Next(maxNoiseSentences)).Select(_ => Sentence(random, split)));
        return Lexicon.Pick(random, new[]
        {
            new ScriptedTurn(TurnKind.SmallTalk, $"Report of the day: {sentences}", "I have read the report."),
            new ScriptedTurn(TurnKind.SmallTalk, $"Just so you know: {sentences}", "Thank you for telling me."),
            new ScriptedTurn(TurnKind.SmallTalk, sentences, "I see."),
        });
    }

    private static string Sentence(Random random, Split split)
    {
        string day = Lexicon.Pick(random, Lexicon.Days);
        string place = string.Create(CultureInfo.InvariantCulture, $"{Lexicon.Pick(random, Places)} {random.Next(1, 40)}");
        string state = Lexicon.Pick(random, States);
        return random.Next(6) switch
        {
            0 => $"The {Lexicon.Item(random, split)} in {place} looked {state}.",
            1 => $"On {day} we moved the {Lexicon.Item(random, split)} to {place}.",
            2 => $"The {Lexicon.Title(random, split)} in {place} took a while.",
            3 => $"{Lexicon.Name(random, split)} came to {place} on {day}.",
            4 => $"We had to {Lexicon.Note(random, split)} in {place}.",
            _ => $"Someone left a {Lexicon.TwoWords(random, split)} in {place}.",
        };
    }
}
