using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using DemoModel.Scoring;
using DemoModel.Tokenizer;
using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>What to train and for how long.</summary>
internal sealed record TrainerOptions
{
    public required string OutputFolder { get; init; }
    public required double Minutes { get; init; }
    public bool Resume { get; init; }

    /// <summary>Whether to train through a 2-bit cache; see <see cref="QuantizedAttention"/>.</summary>
    public bool QuantizesPast { get; init; }
    public int Seed { get; init; } = 1;
    public int Threads { get; init; } = Environment.ProcessorCount;
    public ScalarType Compute { get; init; } = ScalarType.Float32;
    public int MicroBatchTokens { get; init; } = 512;
    public int? FixedLength { get; init; }
    public double MuonRate { get; init; } = 0.01;
    public double AdamRate { get; init; } = 0.004;
    public NetworkConfig Network { get; init; } = new();
}

/// <summary>Trains the demo model. Length of sequences and learning rate follow the share of the minutes that has passed.</summary>
internal sealed class Trainer(TrainerOptions options)
{
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(20), ScoreEvery = TimeSpan.FromMinutes(2), SaveEvery = TimeSpan.FromMinutes(2);

    private sealed record Progress(int Step, long Rows, long Tokens, double ElapsedSeconds);

    public void Run()
    {
        Directory.CreateDirectory(options.OutputFolder);
        using var workers = new WorkerThreads(options.Threads);
        workers.Run(_ => set_num_threads(1));
        set_num_threads(options.Threads);
        string model = Path.Combine(options.OutputFolder, "model");
        BytePairEncoder encoder = options.Resume ? BytePairEncoder.Load(model) : DialogueTokenizer.Train();
        using var network = new Network(options.Network with { VocabularySize = encoder.Count }, options.Compute, options.Seed);
        network.QuantizesPast = options.QuantizesPast;
        using var optimizer = new Optimizer(network.Weights);
        var rows = new RowMaker(encoder);
        string checkpoint = Path.Combine(options.OutputFolder, "checkpoint.safetensors"), progressFile = Path.Combine(options.OutputFolder, "progress.json");
        Dictionary<string, Tensor> all = network.Weights.Concat(optimizer.State).ToDictionary();
        var progress = new Progress(0, 0, 0, 0);
        if (options.Resume)
        {
            Safetensors.ReadInto(checkpoint, all);
            progress = JsonSerializer.Deserialize<Progress>(File.ReadAllText(progressFile))!;
            Print($"resumed at step {progress.Step}, {progress.ElapsedSeconds / 60:F1} of {options.Minutes:F0} minutes");
        }

        Print($"{network.ParameterCount:N0} parameters, {encoder.Count} ids, {options.Compute}, {options.Threads} threads");
        var watch = Stopwatch.StartNew();
        double before = progress.ElapsedSeconds, reported = before, scored = before, saved = before;
        double loss = 0;
        int lossSteps = 0;
        long reportedTokens = progress.Tokens;
        while (true)
        {
            double elapsed = before + watch.Elapsed.TotalSeconds, part = elapsed / 60 / options.Minutes;
            if (part >= 1)
                break;
            (int length, int tokens) = options.FixedLength is int fixedLength ? (fixedLength, 4096) : options.QuantizesPast ? Curriculum.Quantized(progress.Step) : Curriculum.At(part, progress.Step);
            double rate = Curriculum.Rate(part, progress.Step);
            Row[] batch = [.. Enumerable.Range(0, tokens / length).Select(i => rows.Make(HashCode(options.Seed, progress.Rows + i), length))];
            loss += Accumulate(workers, network, batch, length);
            optimizer.Step(progress.Step + 1, options.MuonRate * rate, options.AdamRate * rate);
            lossSteps++;
            progress = new(progress.Step + 1, progress.Rows + batch.Length, progress.Tokens + tokens, elapsed);
            if (elapsed - reported >= ReportEvery.TotalSeconds)
            {
                double speed = (progress.Tokens - reportedTokens) / (elapsed - reported);
                Print($"{elapsed / 60,6:F1} min  step {progress.Step,6}  length {length,5}  rate {rate:F3}  loss {loss / lossSteps:F4}  "
                    + $"{speed:F0} tokens/s  {progress.Tokens / 1e6:F2} M tokens  {options.Minutes - elapsed / 60:F1} min left");
                (reported, reportedTokens, loss, lossSteps) = (elapsed, progress.Tokens, 0, 0);
            }

            if (elapsed - scored >= ScoreEvery.TotalSeconds || (elapsed < 180 && elapsed - scored >= 45))
            {
                scored = elapsed;
                network.QuantizesPast = false;
                Print("        " + ForcedScorer.Score(network, encoder, 6, Math.Clamp(length * 2, 512, 2048), 7_000_000).Line);
                network.QuantizesPast = options.QuantizesPast;
            }

            if (elapsed - saved >= SaveEvery.TotalSeconds)
            {
                saved = elapsed;
                Save();
            }
        }

        Save();
        Print("done");

        void Save()
        {
            Safetensors.Write(checkpoint, all, ScalarType.Float32);
            File.WriteAllText(progressFile, JsonSerializer.Serialize(progress));
            ModelFolder.Write(model, network, encoder);
        }
    }

    // Gradients of the mean weighted loss. Each thread takes one micro-batch at a time and runs its operations alone: small operations do
    // not pay for a fork and a join, a busy core delays one micro-batch only, and activations stay in that core's cache. Autograd adds the
    // gradients of all threads under a lock of each weight.
    private double Accumulate(WorkerThreads workers, Network network, Row[] batch, int length)
    {
        float total = batch.Sum(r => r.Weights.Sum());
        var parts = new ConcurrentQueue<Row[]>(batch.Chunk(Math.Max(1, options.MicroBatchTokens / length)));
        double[] losses = new double[options.Threads];
        workers.Run(worker =>
        {
            while (parts.TryDequeue(out Row[]? part))
                losses[worker] += Backward(network, part, length, total);
        });
        return losses.Sum();
    }

    private static double Backward(Network network, Row[] part, int length, float total)
    {
        using DisposeScope scope = NewDisposeScope();
        var at = new List<long>();
        var targets = new List<long>();
        var weights = new List<float>();
        for (int r = 0; r < part.Length; r++)
        {
            for (int i = 0; i < length; i++)
            {
                if (part[r].Weights[i] == 0)
                    continue;
                at.Add((long)r * length + i);
                targets.Add(part[r].Ids[i + 1]);
                weights.Add(part[r].Weights[i]);
            }
        }

        Tensor ids = tensor(part.SelectMany(r => r.Ids.Take(length)).Select(i => (long)i).ToArray()).view(part.Length, length);
        Tensor hidden = network.Forward(ids).view(-1, network.Config.HiddenSize).index_select(0, tensor(at.ToArray()));
        Tensor each = nn.functional.cross_entropy(network.Logits(hidden), tensor(targets.ToArray()), reduction: nn.Reduction.None);
        Tensor sum = (each * tensor(weights.ToArray())).sum() / total;
        sum.backward();
        return sum.ToDouble();
    }

    private static int HashCode(int seed, long row) => unchecked((int)(row * 2654435761L + seed * 97531L + (row >> 13)));

    private static void Print(FormattableString text) => Print(text.ToString(CultureInfo.InvariantCulture));

    private static void Print(string text) => Console.WriteLine($"{DateTime.UtcNow:HH:mm:ss} {text}");
}
