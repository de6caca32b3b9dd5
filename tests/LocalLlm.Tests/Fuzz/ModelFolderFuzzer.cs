using System.Buffers.Binary;
using System.Text.Json.Nodes;

namespace LocalLlm.Fuzz;

/// <summary>Model folders of which one file is changed: in its JSON, in its bytes, or cut off.</summary>
internal sealed class ModelFolderFuzzer : Fuzzer
{
    private static readonly string[] JsonFiles = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

    private static readonly string[] Words =
        ["hidden_size", "num_hidden_layers", "vocab_size", "rope_theta", "rope_scaling", "factor", "type", "yarn", "llama3", "linear",
         "Qwen3ForCausalLM", "LlamaForCausalLM", "head_dim",
         "max_position_embeddings", "eos_token_id", "BPE", "ByteLevel", "Split", "pattern", "Regex", "content", "special", "chat_template",
         "{{ messages }}", "{% for m in messages %}", "",
         "dtype", "shape", "data_offsets", "F32", "BF16", "Sequence", "Metaspace", "Replace", "merges", "vocab", "added_tokens", "id"];

    private string modelPath = "";
    private string folder = "";

    public override string Name => "folders";

    public override Task OpenAsync(string modelPath)
    {
        this.modelPath = modelPath;
        folder = Directory.CreateTempSubdirectory("fuzz-folder-").FullName;
        return Task.CompletedTask;
    }

    public override async Task<bool> TryAsync(Random random)
    {
        foreach (var file in Directory.GetFiles(modelPath))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        Change(random);
        try
        {
            await using var engine = await LlmEngine.LoadAsync(
                new LlmEngineOptions { ModelPath = folder, Threads = 1, KvCache = new KvCacheOptions { MemoryBytes = 1 << 24 } });
            await foreach (var _ in engine.GenerateAsync(new GenerationRequest { Turns = [new ChatTurn(ChatRole.User, "Please tell me, 雪?")], MaxTokens = 3 }))
            {
            }

            await engine.EmbedAsync(["a text"]);
            return true;
        }
        catch (Exception e) when (IsRefusal(e) || e is NotSupportedException)
        {
            return false;
        }
    }

    public override ValueTask DisposeAsync()
    {
        if (folder.Length > 0)
            Directory.Delete(folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    private void Change(Random random)
    {
        var name = random.Next(4) == 0 ? "model.safetensors" : JsonFiles[random.Next(JsonFiles.Length)];
        var path = Path.Combine(folder, name);
        var bytes = File.ReadAllBytes(path);
        switch (random.Next(8))
        {
            case 0:
                File.Delete(path);
                break;
            case 1:
                File.WriteAllBytes(path, bytes[..random.Next(bytes.Length)]);
                break;
            case 2:
                File.WriteAllBytes(path, RandomJson.Change(random, bytes));
                break;
            default:
                File.WriteAllBytes(path, name == "model.safetensors" ? ChangedHeader(random, bytes) : ChangedJson(random, bytes));
                break;
        }
    }

    private static byte[] ChangedJson(Random random, byte[] bytes)
    {
        var document = JsonNode.Parse(bytes)!;
        RandomJson.Change(random, document, Words);
        return RandomJson.ToBytes(document);
    }

    private static byte[] ChangedHeader(Random random, byte[] bytes)
    {
        var length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        var header = random.Next(3) == 0 ? RandomJson.Change(random, bytes[8..(8 + length)]) : ChangedJson(random, bytes[8..(8 + length)]);
        var prefix = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(prefix, random.Next(6) == 0 ? random.NextInt64() : header.Length);
        return [.. prefix, .. header, .. bytes[(8 + length)..]];
    }
}
