namespace LocalLlm;

/// <summary>
/// How probable a sampled token was; comes where <see cref="GenerationRequest.TopLogprobs"/> is set, for every token but the one that ends the
/// model's turn, just before the text that the token completes.
/// </summary>
/// <param name="Token">The token and its alternatives.</param>
public sealed record LogprobUpdate(TokenLogprob Token) : GenerationUpdate;

/// <summary>A sampled token and its log probability.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Text">Its text by itself; U+FFFD stands for bytes that are no whole character without their neighbours.</param>
/// <param name="Utf8Bytes">Its bytes; those of all tokens, one after the other, are the text's.</param>
/// <param name="Logprob">
/// The natural logarithm of its probability: log-softmax of the model's logits as they are, before temperature, penalties, truncation (top-k, top-p,
/// min-p) and constraints.
/// </param>
/// <param name="Top">The most probable tokens, the most probable first, whether the sampled one is among them or not.</param>
public sealed record TokenLogprob(int TokenId, string Text, ReadOnlyMemory<byte> Utf8Bytes, double Logprob, IReadOnlyList<TokenAlternative> Top);

/// <summary>A token that could have been sampled.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Text">Its text by itself; U+FFFD stands for bytes that are no whole character without their neighbours.</param>
/// <param name="Utf8Bytes">Its bytes.</param>
/// <param name="Logprob">The natural logarithm of its probability.</param>
public sealed record TokenAlternative(int TokenId, string Text, ReadOnlyMemory<byte> Utf8Bytes, double Logprob);
