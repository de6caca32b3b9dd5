namespace DemoModel.Dialogues;

/// <summary>Which of the two disjoint sets of names and values a dialogue draws from.</summary>
public enum Split
{
    /// <summary>What the model is trained on.</summary>
    Training,

    /// <summary>Held out: no name, value, item, title or note of it occurs whole in the training set. Their pieces do.</summary>
    Test,
}

/// <summary>
/// The words of the dialogues. Names, values, items and titles are made of pieces; a hash of the whole decides the
/// <see cref="Split"/> it belongs to, so the two sets are disjoint while both use all pieces.
/// </summary>
public static class Lexicon
{
    private const int TestShare = 8;

    internal static readonly string[] NameStarts = Words(
        "Mir Dor Tal Vel Kor Bel Sar Lun Fen Gar Hal Jun Nor Pel Ros Tor Zan Bra Cas Del Fal Gil Har Jor Kel Lor Mal Nev Pax Quil Rud Sel "
        + "Tam Vor Wen Xan Yor Zel Bor Cor Dal Fir Gol Hes Ivo Jas Kir Lam Mon Nal Osk Per Ral Sol Tev Van Wil Yan Zor Bix Cad Dun Fab Gus "
        + "Hob Jem Kip Lex Mox Nib Pim Rex Siv Tob Vin Wax Yul Zed");

    internal static readonly string[] NameEnds = Words(
        "velo ban dane lith mora nik phor quin rath sova tino vane wick zara bury cado delo fax gard hilde jano kemi loth mund nesh pola "
        + "rino sten tova vik wyn yard zent beck cott dorn fell garo hume ketto lund mire nova pitt rosa silo tark vost webb zuma bram crux "
        + "drake finch gwen holt kade lark moss nell park rune shaw thor vale wade york zeal burg cliff dell ford gate heim kirk land mont "
        + "ness port ridge stone town vern wood zell");

    internal static readonly string[] CodeWords = Words(
        "falcon maple ember cobalt raven cedar onyx tiger lotus comet delta pixel quartz viper walnut zephyr atlas bison coral dune eagle "
        + "flint grove heron iris jasper koala lemon mango nectar ocean panda quill robin sable tulip umber violet willow yarrow acorn birch "
        + "canyon daisy elm fern ginger hazel indigo jade kelp lilac magnet nickel opal pearl quince river saffron topaz urchin velvet wren");

    internal static readonly string[] Adjectives = Words(
        "silver quiet golden hidden rapid gentle crimson frozen hollow ancient bright clever dusty early faded grand humble icy jolly keen "
        + "lucky misty narrow orange proud royal secret tidy upper vivid wild young bold calm deep eager fancy green happy iron lone mellow "
        + "noble plain ruby sunny tall warm");

    internal static readonly string[] Nouns = Words(
        "otter harbor lantern meadow anchor badger castle dragon engine forest garden hammer island jacket kettle ladder mirror needle "
        + "orchard piano rabbit saddle temple violin wagon window bridge candle desert fiddle glacier hornet jungle kitten lizard marble "
        + "nugget oyster pepper rocket salmon turtle valley walrus beacon canoe donkey feather goblet helmet igloo jaguar lagoon monkey "
        + "parrot puzzle ribbon shadow ticket tunnel wizard yacht zebra");

    internal static readonly string[] Materials = Words(
        "copper steel brass rubber plastic nylon carbon bronze titanium ceramic glass cotton leather paper wooden silicone chrome tin felt "
        + "foam canvas granite linen vinyl wool zinc pine oak clay lead aluminum bamboo");

    internal static readonly string[] Parts = Words(
        "valve hinge gasket bolt washer bracket spring gear pipe filter handle cable switch nozzle piston roller screw sleeve socket spacer "
        + "clamp coupler flange knob lever nut panel plug pulley rivet rod seal shaft sheet strap tube wheel wrench wire bearing");

    internal static readonly string[] Subjects = Words(
        "pump budget safety design paint sales roof crane training quality tender audit motor network boiler kitchen hiring travel energy "
        + "contract invoice payroll forklift delivery");

    internal static readonly string[] Occasions = Words(
        "review meeting check call workshop visit briefing demo lunch interview walk repair");

    internal static readonly string[] Verbs = Words(
        "order replace clean paint test label inspect measure polish return sort pack weigh oil ship count");

    internal static readonly string[] Days = Words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday");

    internal static readonly string[] CodeAttributes =
        ["locker code", "gate code", "door code", "badge code", "safe code", "order code", "radio code", "parking code"];

    internal static readonly string[] WordAttributes =
        ["team mascot", "project name", "meeting place", "call sign", "house color", "boat name"];

    internal static readonly string[] DigitAttributes = ["phone number", "serial number"];

    internal static readonly string[] Machines = Words("lathe press saw drill mill grinder welder oven robot sander");

    /// <summary>The split that the whole text belongs to: one in eight is held out.</summary>
    /// <param name="text">A name, value, item, title or note.</param>
    public static Split SplitOf(string text)
    {
        ArgumentNullException.ThrowIfNull(text);

        // FNV-1a, then a final mix: the low bits of FNV alone follow the last character.
        uint hash = 2166136261;
        foreach (char c in text)
            hash = (hash ^ c) * 16777619;
        hash ^= hash >> 15;
        hash *= 0x2c1b3c6d;
        hash ^= hash >> 12;
        return hash % TestShare == 0 ? Split.Test : Split.Training;
    }

    internal static string Name(Random random, Split split) =>
        Draw(split, () => Pick(random, NameStarts) + Pick(random, NameEnds));

    internal static IEnumerable<string> NamePieces(string name)
    {
        string start = NameStarts.First(s => name.StartsWith(s, StringComparison.Ordinal) && NameEnds.Contains(name[s.Length..]));
        return [start, name[start.Length..]];
    }

    internal static string Code(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, CodeWords)}-{random.Next(1000):000}");

    internal static string Digits(Random random, Split split) =>
        Draw(split, () => $"+{string.Join('-', Enumerable.Range(0, 4).Select(_ => $"{random.Next(1000):000}"))}");

    internal static string Machine(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, Machines)} {random.Next(10, 100)}");

    internal static string TwoWords(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, Adjectives)} {Pick(random, Nouns)}");

    internal static string Item(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, Materials)} {Pick(random, Parts)}");

    internal static string Title(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, Subjects)} {Pick(random, Occasions)}");

    internal static string Note(Random random, Split split) =>
        Draw(split, () => $"{Pick(random, Verbs)} the {Item(random, split)}");

    internal static T Pick<T>(Random random, IReadOnlyList<T> from) => from[random.Next(from.Count)];

    private static string Draw(Split split, Func<string> make)
    {
        string text;
        do
            text = make();
        while (SplitOf(text) != split);
        return text;
    }

    private static string[] Words(string words) => words.Split(' ');
}
