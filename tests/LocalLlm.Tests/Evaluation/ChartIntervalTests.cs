using LocalLlm.Evaluation.Report;
using ScottPlot;

namespace LocalLlm.Tests.Evaluation;

public class ChartIntervalTests
{
    [Fact]
    public void AddInterval_Sides_AreTheRightWayUp()
    {
        using var plot = new Plot();

        ChartPainter.AddInterval(plot, Colors.Black, (3, 10), up: (1, 5), across: (0.5, 2));

        var limits = plot.PlottableList.Single().GetAxisLimits();
        (limits.Bottom, limits.Top).ShouldBe((9, 15));
        (limits.Left, limits.Right).ShouldBe((2.5, 5));
    }
}
