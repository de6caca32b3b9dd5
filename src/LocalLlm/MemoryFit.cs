namespace LocalLlm;

/// <summary>How many tokens a request may generate before its cache, alone in memory, would be too large. Pure arithmetic.</summary>
internal static class MemoryFit
{
    /// <summary>Checks a request against the memory and says how many tokens it may generate.</summary>
    /// <param name="bytesFor">The most bytes that a cache takes on its way to a length.</param>
    /// <param name="memoryBytes">The bytes that there are.</param>
    /// <param name="promptTokens">Tokens of the prompt.</param>
    /// <param name="contextLeft">Tokens that the context leaves, at least 1.</param>
    /// <param name="wanted">The request's own limit; null for as many as fit.</param>
    /// <exception cref="LocalLlmException">The prompt and one token, or the tokens wanted, never fit.</exception>
    public static int MaxTokens(Func<int, long> bytesFor, long memoryBytes, int promptTokens, int contextLeft, int? wanted)
    {
        if (bytesFor(promptTokens + 1) is var least && least > memoryBytes)
        {
            throw new LocalLlmException($"The KV cache of this request needs {least:N0} bytes for {promptTokens:N0} tokens of prompt and one of output, and there are "
                + $"{memoryBytes:N0} for all conversations (KvCache.MemoryBytes): it can never run. Shorten the prompt or raise KvCache.MemoryBytes.");
        }

        var most = Math.Min(wanted ?? int.MaxValue, contextLeft);
        if (bytesFor(promptTokens + most) is var needed && needed <= memoryBytes)
            return most;
        if (wanted is not null)
        {
            throw new LocalLlmException($"The KV cache of this request can grow to {needed:N0} bytes ({promptTokens:N0} tokens of prompt and up to {most:N0} of output); "
                + $"KvCache.MemoryBytes is {memoryBytes:N0}. Lower MaxTokens to {LargestFit(bytesFor, memoryBytes, promptTokens, most):N0} or raise KvCache.MemoryBytes.");
        }

        return LargestFit(bytesFor, memoryBytes, promptTokens, most);
    }

    // The most tokens of output that fit, of which 1 is known to and `most` known not to.
    private static int LargestFit(Func<int, long> bytesFor, long memoryBytes, int promptTokens, int most)
    {
        var (fits, fails) = (1, most);
        while (fails - fits > 1)
        {
            var middle = fits + ((fails - fits) / 2);
            if (bytesFor(promptTokens + middle) <= memoryBytes)
                fits = middle;
            else
                fails = middle;
        }

        return fits;
    }
}
