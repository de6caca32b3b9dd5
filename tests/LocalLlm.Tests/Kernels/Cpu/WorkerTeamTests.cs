using LocalLlm.Kernels.Cpu;

namespace LocalLlm.Tests.Kernels.Cpu;

public class WorkerTeamTests
{
    [Theory]
    [InlineData(1, 0)]
    [InlineData(1, 5)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    [InlineData(2, 1000)]
    [InlineData(5, 3)]
    [InlineData(5, 777)]
    public void Run_AnyCount_RunsEveryItemOnce(int threads, int items)
    {
        using var team = new WorkerTeam(threads);
        var work = new CountingWork(items, threads);

        team.Run(work, items);

        work.Runs.ShouldAllBe(n => n == 1);
        work.StrangeWorkers.ShouldBe(0);
    }

    [Fact]
    public void Run_ManyTimesWithPauses_LosesAndRepeatsNothing()
    {
        using var team = new WorkerTeam(3);
        var works = new[] { new CountingWork(7, 3), new CountingWork(64, 3) };

        for (var run = 0; run < 20_000; run++)
        {
            var work = works[run % 2];
            team.Run(work, work.Runs.Length);
            // What the items wrote must be seen here without further care.
            if (work.Runs.Any(n => n != (run / 2) + 1))
                Assert.Fail($"run {run}: {string.Join(',', work.Runs)}");
            if (run % 2000 == 0)
                Thread.Sleep(5);
        }
    }

    [Fact]
    public void Run_BlockingItems_RunSideBySide()
    {
        using var team = new WorkerTeam(3);
        using var barrier = new Barrier(3);
        // Each item waits for the two others: only three threads at once can end this, the helpers asleep or awake.
        for (var run = 0; run < 3; run++)
        {
            Thread.Sleep(run * 10);
            team.Run(new ActionWork((_, _) => barrier.SignalAndWait(TimeSpan.FromSeconds(30)).ShouldBeTrue()), 3);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Run_ItemThrows_ThrowsOnTheCallerAndGoesOn(int threads)
    {
        using var team = new WorkerTeam(threads);
        var work = new ActionWork((item, _) =>
        {
            if (item == 13)
                throw new FormatException("item 13");
        });

        Should.Throw<FormatException>(() => team.Run(work, 50)).Message.ShouldBe("item 13");

        var next = new CountingWork(50, threads);
        team.Run(next, 50);
        next.Runs.ShouldAllBe(n => n == 1);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 1)]
    [InlineData(3, 20)]
    public void Run_InsideAnItem_IsRefused(int threads, int items)
    {
        using var team = new WorkerTeam(threads);
        var inner = new CountingWork(2, threads);

        Should.Throw<InvalidOperationException>(() => team.Run(new ActionWork((_, _) => team.Run(inner, 2)), items)).Message.ShouldContain("one at a time");
        inner.Runs.ShouldAllBe(n => n == 0);
    }

    [Fact]
    public void Run_SteadyState_AllocatesNothing()
    {
        using var team = new WorkerTeam(2);
        var work = new CountingWork(8, 2);
        team.Run(work, 8);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
            team.Run(work, 8);

        GC.GetAllocatedBytesForCurrentThread().ShouldBe(before);
    }

    [Fact]
    public void Dispose_Always_EndsTheThreadsAndRefusesRuns()
    {
        var team = new WorkerTeam(4);
        var threads = new HashSet<Thread>();
        using (var barrier = new Barrier(4))
        {
            team.Run(new ActionWork((_, _) =>
            {
                lock (threads)
                    threads.Add(Thread.CurrentThread);
                barrier.SignalAndWait(TimeSpan.FromSeconds(30));
            }), 4);
        }

        team.Dispose();
        team.Dispose();

        threads.Count.ShouldBe(4);
        threads.Where(t => t != Thread.CurrentThread).ShouldAllBe(t => !t.IsAlive);
        Should.Throw<ObjectDisposedException>(() => team.Run(new CountingWork(4, 4), 4));
    }

    [Fact]
    public void Construct_NoThreads_IsRefused() => Should.Throw<ArgumentOutOfRangeException>(() => new WorkerTeam(0));

    private sealed class CountingWork(int items, int threads) : ParallelWork
    {
        private int strangeWorkers;

        public int[] Runs { get; } = new int[items];

        public int StrangeWorkers => strangeWorkers;

        public override void Execute(int item, int worker)
        {
            // Not interlocked: an item that ran twice would lose the sum now and then, one that ran once never does.
            Runs[item]++;
            if (worker < 0 || worker >= threads)
                Interlocked.Increment(ref strangeWorkers);
        }
    }

    private sealed class ActionWork(Action<int, int> action) : ParallelWork
    {
        public override void Execute(int item, int worker) => action(item, worker);
    }
}
