using LocalLlm.Evaluation.Generation;

namespace LocalLlm.Evaluation.LongBench;

/// <summary>A task's file with its prompts.</summary>
/// <param name="Name">The file's name without its end.</param>
/// <param name="Task">The task.</param>
/// <param name="Template">The prompt, fields not filled in.</param>
/// <param name="MaxTokens">The most tokens of an answer.</param>
/// <param name="Samples">The samples.</param>
internal sealed record LongBenchFile(
    string Name, LongBenchTask Task, string Template, int MaxTokens, IReadOnlyList<LongBenchSample> Samples)
{
    /// <summary>
    /// The files of a folder, by their names; a line on the standard error for each task that cannot be scored.
    /// </summary>
    /// <param name="folder">With a file NAME.jsonl for each task, as LongBench's data.zip has it.</param>
    /// <param name="option">The option that named it, for messages.</param>
    /// <param name="config">LongBench's configuration.</param>
    /// <param name="tasks">Only these, by their files' names; null for all.</param>
    /// <param name="limit">The most samples of each.</param>
    /// <exception cref="ArgumentException">A file is missing or wrong.</exception>
    public static List<LongBenchFile> Read(
        string folder, string option, LongBenchConfig config, IReadOnlyList<string>? tasks, int limit)
    {
        if (!Directory.Exists(folder))
            throw new ArgumentException($"--{option}: there is no folder '{folder}'; a folder with a file TASK.jsonl for each task is needed.");
        var names = tasks ?? [.. Directory.EnumerateFiles(folder, "*.jsonl").Select(p => Path.GetFileNameWithoutExtension(p)).Order()];
        List<LongBenchFile> files = [];
        foreach (var name in names)
        {
            var task = LongBenchTask.OfFile(name + ".jsonl") ?? throw new ArgumentException(
                $"--{(tasks is null ? option : "tasks")}: '{name}' is no LongBench task. There are "
                + $"{string.Join(", ", LongBenchTask.All.Select(t => t.Name))}.");
            if (task.Metric is null)
            {
                Console.Error.WriteLine($"longbench: {name} is left out: {task.MetricName}.");
                continue;
            }

            var samples = LongBenchSample.Read(Path.Combine(folder, name + ".jsonl"), option).Take(limit).ToList();
            files.Add(new(name, task, config.Prompt(task.Name), config.MaxTokens(task.Name), samples));
        }

        return files.Count > 0
            ? files
            : throw new ArgumentException($"--{option}: '{folder}' has no file TASK.jsonl of a task that can be scored.");
    }

    /// <summary>A sample's prompt.</summary>
    public string Prompt(LongBenchSample sample) => LongBenchConfig.Fill(Template, sample.Fields);

    /// <summary>The request of a prompt.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="hasChat">True if the model has a chat template.</param>
    public GenerationRequest Request(string prompt, bool hasChat) => Task.UsesChat && hasChat
        ? new() { Turns = [new(ChatRole.User, prompt)], MaxTokens = MaxTokens }
        : new() { Prompt = prompt, MaxTokens = MaxTokens };
}
