using Agents.Scoring;
using LocalLlm;
using Spectre.Console;

namespace Agents.Display;

/// <summary>The table at the end.</summary>
internal static class Summary
{
    private const int LeastTableWidth = 60;

    public static void Write(Terminal terminal, LlmModelInfo model, Scoreboard board)
    {
        List<Row> rows = [.. Rows(model, board)];
        if (terminal.IsPlain || terminal.Console.Profile.Width < LeastTableWidth)
        {
            int whatWidth = rows.Max(r => r.What.Length), resultWidth = rows.Max(r => r.Result.Length);
            terminal.Raw("\n");
            foreach (Row row in rows)
                terminal.Raw($"{row.What.PadRight(whatWidth)}  {row.Result.PadLeft(resultWidth)}  {row.Note}".TrimEnd() + "\n");
            return;
        }

        var table = new Table
        {
            Border = terminal.Console.Profile.Capabilities.Unicode ? TableBorder.Rounded : TableBorder.Ascii,
            BorderStyle = new Style(Color.Grey),
            ShowHeaders = false,
        };
        table.AddColumn("").AddColumn(new TableColumn("").RightAligned()).AddColumn("");
        foreach (Row row in rows)
            table.AddRow(new Text(row.What), new Text(row.Result, new Style(row.IsFlawed ? Color.Yellow : null)), new Text(row.Note, new Style(Color.Grey)));
        terminal.Console.Write(table);
    }

    private static IEnumerable<Row> Rows(LlmModelInfo model, Scoreboard board)
    {
        foreach (RecallBand band in board.Bands)
        {
            string range = band.BelowTokens is { } below
                ? $"{Figures.Count(band.FromTokens)} to {Figures.Count(below - 1)}"
                : $"{Figures.Count(band.FromTokens)} or more";
            yield return Share($"recall from {range} tokens back", band.Right, band.Asked);
        }

        if (board.RecallAsked > 0)
            yield return Share("recall, all", board.RecallRight, board.RecallAsked);
        Row calls = Share("tool calls right", board.CallsRight, board.CallsExpected);
        if (board.CallsExpected == 0)
            yield return new("tool calls", Figures.Count(board.Calls), "");
        else
            yield return board.CallsWrong == 0 ? calls : calls with { Note = $"{calls.Note}; {board.CallsWrong} not expected", IsFlawed = true };
        if (board.RefusalsAsked > 0)
            yield return Share("said that it was never told", board.RefusalsRight, board.RefusalsAsked);

        UsageTotals usage = board.Usage;
        yield return new("conversation", $"{Figures.Count(usage.ContextTokens)} tokens", $"of {Figures.Count(model.ContextTokens)}, in {board.Turns} turn{(board.Turns == 1 ? "" : "s")}");
        yield return new("KV cache", Figures.Bytes(usage.KvBytes), $"fp16 {Figures.Bytes(usage.KvBytesFp16)}: {Figures.Ratio(usage.KvRatio)} times as much");
        yield return new("prompt tokens from the cache", Figures.Percent(usage.CachedPromptTokens, usage.PromptTokens),
            Figures.Of(usage.CachedPromptTokens, usage.PromptTokens));
        yield return new("time to first token", Figures.Milliseconds(usage.MedianFirstTokenMilliseconds), "median of all rounds");
        yield return new("generation", $"{Figures.Rate(usage.DecodeTokensPerSecond)} tokens/s", $"{Figures.Count(usage.CompletionTokens)} tokens");
    }

    private static Row Share(string what, int right, int asked) =>
        new(what, Figures.Of(right, asked), Figures.Percent(right, asked)) { IsFlawed = right < asked };

    private sealed record Row(string What, string Result, string Note)
    {
        public bool IsFlawed { get; init; }
    }
}
