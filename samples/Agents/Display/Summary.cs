using Agents.Scoring;
using LocalLlm;
using Spectre.Console;

namespace Agents.Display;

/// <summary>The table at the end.</summary>
internal static class Summary
{
    public static void Write(Terminal terminal, LlmModelInfo model, Scoreboard board)
    {
        var table = new Table
        {
            Border = terminal.IsPlain ? TableBorder.None : terminal.Console.Profile.Capabilities.Unicode ? TableBorder.Rounded : TableBorder.Ascii,
            BorderStyle = new Style(Color.Grey),
            ShowHeaders = false,
        };
        table.AddColumn("").AddColumn(new TableColumn("").RightAligned()).AddColumn("");
        foreach (RecallBand band in board.Bands)
        {
            string range = band.BelowTokens is { } below ? $"{Figures.Count(band.FromTokens)} to {Figures.Count(below - 1)}" : $"{Figures.Count(band.FromTokens)} or more";
            Row(table, $"recall from {range} tokens back", Figures.Of(band.Right, band.Asked), Figures.Percent(band.Right, band.Asked));
        }

        if (board.RecallAsked > 0)
            Row(table, "recall, all", Figures.Of(board.RecallRight, board.RecallAsked), Figures.Percent(board.RecallRight, board.RecallAsked));
        if (board.CallsExpected > 0)
        {
            Row(table, "tool calls right", Figures.Of(board.CallsRight, board.CallsExpected), Figures.Percent(board.CallsRight, board.CallsExpected)
                + (board.CallsWrong > 0 ? $"; {board.CallsWrong} others" : ""));
        }
        else
        {
            Row(table, "tool calls", Figures.Count(board.Calls), "");
        }

        if (board.RefusalsAsked > 0)
            Row(table, "\"never told\" right", Figures.Of(board.RefusalsRight, board.RefusalsAsked), "");

        UsageTotals usage = board.Usage;
        Row(table, "conversation", $"{Figures.Count(usage.ContextTokens)} tokens", $"{board.Turns} turns, context {Figures.Count(model.ContextTokens)}");
        Row(table, "KV cache", Figures.Bytes(usage.KvBytes), $"fp16: {Figures.Bytes(usage.KvBytesFp16)}, {Figures.Ratio(usage.KvRatio)} times as much");
        Row(table, "prompt tokens from the cache", Figures.Percent(usage.CachedPromptTokens, usage.PromptTokens), Figures.Of(usage.CachedPromptTokens, usage.PromptTokens));
        Row(table, "time to first token", Figures.Milliseconds(usage.MedianFirstTokenMilliseconds), "median");
        Row(table, "generation", $"{Figures.Rate(usage.DecodeTokensPerSecond)} tokens/s", $"{Figures.Count(usage.CompletionTokens)} tokens");
        terminal.Console.Write(table);
    }

    private static void Row(Table table, string what, string result, string note) => table.AddRow(new Text(what), new Text(result), new Text(note, new Style(Color.Grey)));
}
