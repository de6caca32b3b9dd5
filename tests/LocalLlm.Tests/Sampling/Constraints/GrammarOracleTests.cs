using CsCheck;
using LocalLlm.Sampling.Constraints;

namespace LocalLlm.Tests.Sampling.Constraints;

public class GrammarOracleTests
{
    [Fact]
    public void Mask_RandomGrammarsAndVocabularies_IsTheOracles() => Gen.Int.Sample(
        seed =>
        {
            var random = new Random(seed);
            var made = new RandomGrammar(random);
            var (tokens, grammar) = (made.Tokens(), made.Node(3));
            var endIds = new HashSet<int> { 2, 3 };
            var oracle = new GrammarOracle(tokens, endIds);
            var vocabulary = ConstraintVocabulary.Create(tokens, RandomGrammar.ControlIds, endIds, tokens.Length + 3);
            var constraint = CompiledGrammar.Create(grammar, vocabulary).Start();
            var symbols = new List<int>();
            for (var step = 0; step < 7; step++)
            {
                var logits = new float[vocabulary.LogitCount];
                var allowed = Allowed(constraint, logits, out var isStuck);
                var mayEnd = oracle.IsMember(grammar, [.. symbols]);
                var expected = Enumerable.Range(0, tokens.Length)
                    .Where(id => (endIds.Contains(id) && mayEnd) || (!tokens[id].IsEmpty && oracle.IsPrefix(grammar, [.. symbols, .. Symbols(id)]))).ToList();
                constraint.MayEnd.ShouldBe(mayEnd);
                allowed.ShouldBe(expected, $"after {string.Join(' ', symbols)}");
                isStuck.ShouldBe(expected.Count == 0);
                var next = expected.Where(id => !endIds.Contains(id)).ToList();
                if (next.Count == 0)
                    break;
                // Longer tokens take the text further.
                var id = Enumerable.Range(0, 3).Select(_ => next[random.Next(next.Count)]).MaxBy(i => tokens[i].Length);
                constraint.Accept(id);
                symbols.AddRange(Symbols(id));
            }

            int[] Symbols(int id) => RandomGrammar.ControlIds.Contains(id)
                ? [GrammarOracle.Control + id]
                : [.. tokens[id].ToArray().Select(b => (int)b)];
        },
        iter: 4000, threads: 2);

    private static List<int> Allowed(TokenConstraint constraint, float[] logits, out bool isStuck)
    {
        isStuck = false;
        try
        {
            constraint.Mask(logits);
        }
        catch (LocalLlmException)
        {
            isStuck = true;
            return [];
        }

        return [.. Enumerable.Range(0, logits.Length).Where(id => logits[id] == 0)];
    }
}
