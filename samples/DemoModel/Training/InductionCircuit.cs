using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>
/// Starting weights that already copy: heads of layer 0 bring the tokens one and two places back, heads of layer 1 look for the place where
/// the same tokens came before and repeat what followed (an induction head; Olsson et al., arXiv 2209.11895). From random weights that
/// circuit takes far more tokens to appear than an hour on a CPU has. All of it stays trainable.
/// </summary>
/// <remarks>
/// The residual stream starts in four parts: a random identity of the token, the token one back, the token two back, and a constant from which
/// attention by position alone is made.
/// </remarks>
internal static class InductionCircuit
{
    private const double Scale = 0.25;

    /// <summary>Amplitudes of the fastest rotary pairs; together they peak sharply at one distance.</summary>
    private static readonly double[] PositionAmplitudes = [0.55, 0.50, 0.45, 0.32, 0.28, 0.26];

    public static void Implant(NetworkConfig config, Dictionary<string, Tensor> weights)
    {
        int hidden = config.HiddenSize, dim = config.HeadDim, identity = hidden / 2, constant = hidden - 1;
        if (identity < 2 * dim || config.QueryHeads / config.KvHeads < 2 || config.KvHeads < 2 || config.Layers < 2)
            throw new ArgumentException("The circuit needs two layers, two KV heads, two query heads for each, and a hidden size of four heads.");
        Tensor embeddings = weights["model.embed_tokens.weight"];
        embeddings.zero_();
        embeddings.narrow(1, 0, identity).copy_(randn(config.VocabularySize, identity) * Scale);
        embeddings.narrow(1, constant, 1).fill_(8 * Scale);
        weights["model.norm.weight"].fill_(0.2);

        // Two halves of the identity, 64 elements each: rows are orthonormal.
        Tensor first = Orthonormal(dim, identity), second = Orthonormal(dim, identity, first);
        PreviousTokens(config, weights, first);
        Induction(config, weights, first, second);
    }

    private static void PreviousTokens(NetworkConfig config, Dictionary<string, Tensor> weights, Tensor first)
    {
        int dim = config.HeadDim, half = dim / 2, identity = config.HiddenSize / 2, constant = config.HiddenSize - 1;
        string layer = "model.layers.0.self_attn.";
        Tensor q = weights[layer + "q_proj.weight"], k = weights[layer + "k_proj.weight"], v = weights[layer + "v_proj.weight"];
        Tensor o = weights[layer + "o_proj.weight"];
        k.narrow(0, 0, dim).zero_();
        for (int head = 0; head < 2; head++)
        {
            // The keys' pairs stand at angle 0, the queries' behind by what the pair turns over the wanted distance.
            int distance = head + 1;
            q.narrow(0, head * dim, dim).zero_();
            for (int pair = 0; pair < PositionAmplitudes.Length; pair++)
            {
                double angle = distance * Math.Pow(config.RopeTheta, -2.0 * pair / dim);
                q[head * dim + pair, constant] = PositionAmplitudes[pair] * Math.Cos(angle);
                q[head * dim + pair + half, constant] = -PositionAmplitudes[pair] * Math.Sin(angle);
                k[pair, constant] = PositionAmplitudes[pair];
            }

            Tensor write = o.narrow(0, identity + head * dim, head == 0 ? dim : dim - 1).narrow(1, head * dim, dim);
            write.copy_(eye(write.shape[0], dim) * (1.5 * Scale));
        }

        v.narrow(0, 0, dim).zero_().narrow(1, 0, identity).copy_(first);
        foreach (string norm in (string[])["q_norm.weight", "k_norm.weight"])
        {
            weights[layer + norm].narrow(0, 0, PositionAmplitudes.Length).fill_(2.2);
            weights[layer + norm].narrow(0, half, PositionAmplitudes.Length).fill_(2.2);
        }
    }

    private static void Induction(NetworkConfig config, Dictionary<string, Tensor> weights, Tensor first, Tensor second)
    {
        int dim = config.HeadDim, half = dim / 2, slow = dim / 4, identity = config.HiddenSize / 2;
        string layer = "model.layers.1.self_attn.";
        Tensor q = weights[layer + "q_proj.weight"], k = weights[layer + "k_proj.weight"], v = weights[layer + "v_proj.weight"];
        Tensor o = weights[layer + "o_proj.weight"];

        // Only slow rotary pairs, so that a match is one at any distance. Head 0: this token is that place's token one back.
        Tensor match = Orthonormal(half, dim);
        q.narrow(0, 0, dim).zero_();
        k.narrow(0, 0, 2 * dim).zero_();
        for (int row = 0; row < half; row++)
        {
            int at = row < slow ? slow + row : half + row;
            q[at].narrow(0, 0, identity).copy_(match[row].matmul(first) * 2);
            k[at].narrow(0, identity, dim).copy_(match[row] * 2);
        }

        // Head of the second KV group: half of the pairs as above, the other half one place further back: a match of both counts double.
        int query = config.QueryHeads / config.KvHeads * dim;
        q.narrow(0, query, dim).zero_();
        for (int row = 0; row < half; row++)
        {
            int pair = row / 2, at = slow + pair + (row % 2 == 0 ? 0 : half);
            if (pair < slow / 2)
            {
                q[query + at].narrow(0, 0, identity).copy_(match[row].matmul(first) * 3);
                k[dim + at].narrow(0, identity, dim).copy_(match[row] * 2);
            }
            else
            {
                q[query + at].narrow(0, identity, dim).copy_(match[row] * 2);
                k[dim + at].narrow(0, identity + dim, dim - 1).copy_(match[row].narrow(0, 0, dim - 1) * 2);
            }
        }

        v.narrow(0, 0, dim).zero_().narrow(1, 0, identity).copy_(first);
        v.narrow(0, dim, dim).zero_().narrow(1, 0, identity).copy_(second);
        o.narrow(0, 0, identity).narrow(1, 0, dim).copy_(first.t() * (4 * Scale));
        o.narrow(0, 0, identity).narrow(1, query, dim).copy_(second.t() * (4 * Scale));
        foreach (string norm in (string[])["q_norm.weight", "k_norm.weight"])
        {
            weights[layer + norm].narrow(0, slow, slow).fill_(2);
            weights[layer + norm].narrow(0, half + slow, slow).fill_(2);
        }
    }

    // Orthonormal rows by Gram-Schmidt, orthogonal to those of `beside` as well.
    private static Tensor Orthonormal(int rows, int columns, Tensor? beside = null)
    {
        List<Tensor> basis = beside is null ? [] : [.. beside.unbind(0)];
        int skip = basis.Count;
        while (basis.Count < skip + rows)
        {
            Tensor row = randn(columns);
            foreach (Tensor other in basis)
                row = row - other * row.dot(other);
            basis.Add(row / row.norm());
        }

        return stack(basis.Skip(skip));
    }
}
