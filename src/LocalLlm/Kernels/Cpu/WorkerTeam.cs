namespace LocalLlm.Kernels.Cpu;
internal abstract class ParallelWork { public abstract void Execute(int item, int worker); }
internal sealed class WorkerTeam : IDisposable
{
    private readonly Thread[] threads; private volatile ParallelWork? work; private int items, next, left; private volatile int generation; private volatile bool stop;
    public WorkerTeam(int count) { Threads = count; threads = new Thread[count - 1]; for (var i = 0; i < threads.Length; i++) { var id = i + 1; threads[i] = new Thread(() => Loop(id)) { IsBackground = true }; threads[i].Start(); } }
    public int Threads { get; }
    public void Run(ParallelWork w, int n) { if (n == 0) return; items = n; left = Threads; next = 0; work = w; generation++; Claim(0); Interlocked.Decrement(ref left); while (Volatile.Read(ref left) > 0) Thread.SpinWait(1); }
    private void Claim(int id) { int i; while ((i = Interlocked.Increment(ref next) - 1) < items) work!.Execute(i, id); }
    private void Loop(int id) { var g = 0; while (true) { var n = 0; while (generation == g && !stop) { if (n++ < 20000) Thread.SpinWait(1); else Thread.Sleep(0); } if (stop) return; g = generation; Claim(id); Interlocked.Decrement(ref left); } }
    public void Dispose() { stop = true; foreach (var t in threads) t.Join(); }
}
