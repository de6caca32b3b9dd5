using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using DemoModel.Scoring;
using DemoModel.Tokenizer;
using TorchSharp;
using static TorchSharp.torch;

namespace DemoModel.Training;

/// <summary>What to train and how long.</summary>
internal sealed record TrainerOptions
{
    public required string OutputFolder { get; init; }

    /// <summary>Tokens of the whole training.</summary>
    public required long Tokens { get; init; }
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

/// <summary>Trains the demo model. Length of sequences and learning rate follow the share of the tokens that has passed.</summary>
internal sealed class Trainer(TrainerOptions options)
{
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(20), ScoreEvery = TimeSpan.FromMinutes(2), SaveEvery = TimeSpan.FromMinutes(2);

    private const int ProgressSeed = 7_000_000;

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
            Print($"resumed at step {progress.Step}, {progress.Tokens:N0} of {options.Tokens:N0} tokens");
        }

        Print($"{network.ParameterCount:N0} parameters, {encoder.Count} ids, {options.Compute}, {options.Threads} threads");
        var watch = Stopwatch.StartNew();
        double before = progress.ElapsedSeconds, reported = before, scored = before, saved = before;
        double loss = 0;
        int lossSteps = 0;
        long reportedTokens = progress.Tokens;
        int stage = options.QuantizesPast ? 0 : Curriculum.StageAt((double)progress.Tokens / options.Tokens);
        while (progress.Tokens < options.Tokens)
        {
            double part = (double)progress.Tokens / options.Tokens;
            if (!options.QuantizesPast && Curriculum.StageAt(part) is int next && next > stage)
            {
                EndStage();
                stage = next;
            }

            int[] lengths = options.FixedLength is int fixedLength ? [fixedLength] : (options.QuantizesPast ? Curriculum.Quantized : Curriculum.Stages[stage]).Lengths;
            int length = lengths[progress.Step % lengths.Length], tokens = Curriculum.StepTokens(length);
            double rate = Curriculum.Rate(part, progress.Step);
            Row[] batch = [.. Enumerable.Range(0, tokens / length).Select(i => rows.Make(HashCode(options.Seed, progress.Rows + i), length))];
            loss += Accumulate(workers, network, batch, length);
            optimizer.Step(progress.Step + 1, options.MuonRate * rate, options.AdamRate * rate);
            lossSteps++;
            double elapsed = before + watch.Elapsed.TotalSeconds;
            progress = new(progress.Step + 1, progress.Rows + batch.Length, progress.Tokens + tokens, elapsed);
            if (elapsed - reported >= ReportEvery.TotalSeconds)
            {
                double speed = (progress.Tokens - reportedTokens) / (elapsed - reported);
                Print($"{elapsed / 60,6:F1} min  step {progress.Step,6}  length {length,5}  rate {rate:F3}  loss {loss / lossSteps:F4}  "
                    + $"{speed:F0} tokens/s  {progress.Tokens / 1e6:F2} of {options.Tokens / 1e6:F2} M tokens");
                (reported, reportedTokens, loss, lossSteps) = (elapsed, progress.Tokens, 0, 0);
            }

            if (elapsed - scored >= ScoreEvery.TotalSeconds || (elapsed < 180 && elapsed - scored >= 45))
            {
                scored = elapsed;
                network.QuantizesPast = false;
                Print("        " + ForcedScorer.Score(network, encoder, 6, Math.Clamp(lengths.Max() * 2, 512, 2048), ProgressSeed, ForcedScorer.DialogueOptions).Line);
                network.QuantizesPast = options.QuantizesPast;
            }

            if (elapsed - saved >= SaveEvery.TotalSeconds)
            {
                saved = elapsed;
                Save();
            }
        }

        EndStage();
        Save();
        Print("done");

        // The scores of a stage's end, for the model's card.
        void EndStage()
        {
            int length = options.QuantizesPast ? options.Network.TrainedTokens : Math.Min(2 * Curriculum.Stages[stage].Lengths.Max(), options.Network.TrainedTokens);
            network.QuantizesPast = false;
            string table = ForcedScorer.Score(network, encoder, 12, length, ProgressSeed, ForcedScorer.DialogueOptions).Table;
            network.QuantizesPast = options.QuantizesPast;
            File.AppendAllText(Path.Combine(options.OutputFolder, "stages.md"), string.Create(CultureInfo.InvariantCulture,
                $"After {progress.Tokens:N0} tokens, {progress.Step:N0} steps, {progress.ElapsedSeconds / 60:F0} minutes; 12 dialogues of {length:N0} tokens:\n\n{table}\n\n"));
        }

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
