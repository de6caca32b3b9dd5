using CsCheck;
using LocalLlm.Evaluation.Tuning;

namespace LocalLlm.Tests.Evaluation;

/// <summary>The choice of each layer's bits.</summary>
public class BitAllocationTests
{
    [Fact]
    public void Choose_OneLayerThatMinds_GivesItTheBits() =>
        BitAllocation.Choose([2, 3, 4], [[1, 0.5, 0], [9, 3, 0], [0.1, 0.1, 0]], budget: 8).ShouldBe([0, 2, 0]);

    [Fact]
    public void Choose_EqualCosts_SpendsNoMore() =>
        BitAllocation.Choose([2, 4, 3], [[0, 0, 0], [0, 0, 0]], budget: 8).ShouldBe([0, 0]);

    [Fact]
    public void Choose_BudgetBelowTheFewest_SaysBoth() =>
        Should.Throw<ArgumentException>(() => BitAllocation.Choose([2, 4], [[0, 0], [0, 0], [0, 0]], budget: 5)).Message.ShouldContain("is 5 bits; 3 layers need at least 6");

    [Fact]
    public void Choose_AnyCosts_IsAsGoodAsTryingAll() =>
        (from layers in Gen.Int[1, 4]
         from bits in Gen.Int[2, 9].Array[1, 4]
         from costs in Gen.Double[-1, 10].Array[bits.Length].Array[layers]
         from budget in Gen.Int[bits.Min() * layers, bits.Max() * layers]
         select (bits, costs, budget)).Sample(t =>
         {
             var chosen = BitAllocation.Choose(t.bits, t.costs, t.budget);

             chosen.Sum(c => t.bits[c]).ShouldBeLessThanOrEqualTo(t.budget);
             Cost(chosen).ShouldBe(All(t.costs.Length).Where(c => c.Sum(i => t.bits[i]) <= t.budget).Min(Cost), 1e-9);

             double Cost(int[] choices) => choices.Select((choice, layer) => t.costs[layer][choice]).Sum();

             IEnumerable<int[]> All(int layers) => layers == 0
                 ? [[]]
                 : All(layers - 1).SelectMany(c => Enumerable.Range(0, t.bits.Length), (c, choice) => (int[])[.. c, choice]);
         }, iter: 300);
}
