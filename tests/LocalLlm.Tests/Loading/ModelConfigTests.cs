using System.Text.Json.Nodes;
using CsCheck;
using LocalLlm.Loading;
using LocalLlm.Tests.Models;

namespace LocalLlm.Tests.Loading;

public sealed class ModelConfigTests : IDisposable
{
    private readonly CheckpointWriter writer = new();

    [Fact]
    public void Read_Llama31_GivesItsFacts()
    {
        // The published figures of Llama-3.1-8B.
        var config = Read("""
            {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
             "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false,
             "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
             "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
             "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256}
            """);

        (config.HiddenSize, config.Layers, config.QueryHeads, config.KvHeads, config.HeadDim).ShouldBe((4096, 32, 32, 8, 128));
        (config.Rope.Type, config.Rope.Theta, config.Rope.Factor, config.Rope.OriginalMaxPositions, config.Rope.RotaryDim).ShouldBe((RopeType.Llama3, 500_000, 8, 8192, 128));
        config.EosTokenIds.ShouldBe([128001, 128008, 128009]);
        config.SlidingWindows.ShouldAllBe(w => w == null);
        config.DeclaredType.ShouldBe("bfloat16");
        config.NormEpsilon.ShouldBe(1e-5);
    }

    [Fact]
    public void Read_Phi4Mini_GivesPartialRotaryAndLongFactors()
    {
        var factors = string.Join(", ", Enumerable.Repeat("1.5", 48));
        var config = Read($$"""
            {"architectures": ["Phi3ForCausalLM"], "hidden_size": 3072, "intermediate_size": 8192, "max_position_embeddings": 131072, "num_attention_heads": 24,
             "num_hidden_layers": 32, "num_key_value_heads": 8, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75, "rms_norm_eps": 1e-05,
             "rope_scaling": {"long_factor": [{{factors}}], "short_factor": [{{factors}}], "type": "longrope"}, "rope_theta": 10000.0, "sliding_window": 262144,
             "tie_word_embeddings": true, "vocab_size": 200064, "eos_token_id": 199999}
            """);

        (config.HeadDim, config.Rope.RotaryDim, config.Rope.Type, config.Rope.OriginalMaxPositions).ShouldBe((128, 96, RopeType.LongRope, 4096));
        config.SlidingWindows.ShouldAllBe(w => w == 262144);
        config.TieWordEmbeddings.ShouldBeTrue();
    }

    [Theory]
    [InlineData("LlamaForCausalLM", null, false, 1, 2)]
    [InlineData("MistralForCausalLM", 4096, false, 1, 2)]
    [InlineData("Qwen2ForCausalLM", null, true, null, null)]
    [InlineData("Qwen3ForCausalLM", null, false, null, null)]
    [InlineData("Phi3ForCausalLM", null, false, 1, 32000)]
    public void Read_AbsentFields_TakeTheArchitecturesDefaults(string architecture, int? window, bool bias, int? bos, int? eos)
    {
        var config = Read(RandomCheckpoint.Config(architecture, new() { ["sliding_window"] = null, ["rope_theta"] = null, ["tie_word_embeddings"] = null }).ToJsonString());

        config.SlidingWindows.ShouldAllBe(w => w == window);
        (config.QkvBias, config.OutputBias, config.MlpBias, config.TieWordEmbeddings).ShouldBe((bias, false, false, false));
        config.BosTokenId.ShouldBe(bos);
        config.EosTokenIds.ShouldBe(eos is { } id ? [id] : []);
        config.Rope.Theta.ShouldBe(10_000);
    }

    [Fact]
    public void Read_NoArchitectures_FollowsModelType() =>
        Read(RandomCheckpoint.Config("Qwen2ForCausalLM", new() { ["architectures"] = null, ["model_type"] = "qwen3" }).ToJsonString())
            .Architecture.Name.ShouldBe("Qwen3ForCausalLM");

    [Theory]
    [InlineData("architectures", """["GPT2LMHeadModel"]""", "architectures[0] is 'GPT2LMHeadModel'; supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Phi3ForCausalLM")]
    [InlineData("architectures", "[]", "architectures is missing or empty")]
    [InlineData("hidden_size", "null", "hidden_size is missing")]
    [InlineData("hidden_size", "\"4096\"", "hidden_size is '4096'; it must be an integer")]
    [InlineData("hidden_size", "12.5", "hidden_size is 12.5")]
    [InlineData("num_hidden_layers", "1000000000", "num_hidden_layers is 1000000000; it must be an integer of 1 to 4096")]
    [InlineData("num_key_value_heads", "3", "num_key_value_heads is 3; it must divide num_attention_heads, 4")]
    [InlineData("head_dim", "4", "head_dim is 4; it must be an integer of 8 to 256")]
    [InlineData("head_dim", "12", "head_dim is 12; it must be a multiple of 8 from 8 to 256")]
    [InlineData("head_dim", "512", "head_dim is 512; it must be an integer of 8 to 256")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act is 'gelu'; only silu is supported")]
    [InlineData("quantization_config", """{"quant_method": "gptq"}""", "quantised weights are not supported")]
    [InlineData("rms_norm_eps", "-1", "rms_norm_eps is -1; it must be a number of 0 to 1")]
    [InlineData("rms_norm_eps", "1e999", "rms_norm_eps is 1e999")]
    [InlineData("rope_theta", "0", "rope_theta is 0; it must be a number greater than 0")]
    [InlineData("rope_scaling", "\"x\"", "rope_scaling is 'x'; it must be an object")]
    [InlineData("rope_scaling", """{"rope_type": "mrope"}""", "config.json: rope_scaling: rope_type is 'mrope'; supported are default, linear")]
    [InlineData("rope_scaling", """{"rope_type": "linear"}""", "factor is missing; Linear scaling needs it")]
    [InlineData("rope_scaling", """{"rope_type": "linear", "factor": 0.5}""", "factor is 0.5; it must be a number of at least 1")]
    [InlineData("rope_scaling", """{"rope_type": "llama3", "factor": 8}""", "low_freq_factor is missing")]
    [InlineData("rope_scaling", """{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 8}""", "high_freq_factor is 4; it must be greater than low_freq_factor, 4")]
    [InlineData("rope_scaling", """{"type": "longrope", "factor": 2, "short_factor": [1, 2], "long_factor": [1, 2, 3, 4]}""", "short_factor has 2 numbers; it must have 4")]
    [InlineData("rope_parameters", """{"full_attention": {"rope_type": "default"}}""", "only one set for all layers is supported")]
    [InlineData("partial_rotary_factor", "0.5", "LlamaForCausalLM rotates whole heads")]
    [InlineData("eos_token_id", "[1, \"x\"]", "eos_token_id is array of 2; it must be an integer")]
    [InlineData("tie_word_embeddings", "1", "tie_word_embeddings is 1; it must be true or false")]
    [InlineData("layer_types", """["sliding_attention", "full_attention"]""", "does not agree with sliding_window")]
    [InlineData("layer_types", """["linear_attention"]""", "layer_types has 'linear_attention'")]
    public void Read_WrongField_IsRefusedWithItsReason(string field, string value, string expected)
    {
        var json = RandomCheckpoint.Config("LlamaForCausalLM", new() { [field] = null }).ToJsonString();

        ErrorsOf($"{json[..^1]}, \"{field}\": {value}}}").ShouldContain(e => e.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Read_SeveralFaults_ListsAllOfThem() =>
        ErrorsOf("""{"architectures": ["LlamaForCausalLM"], "num_attention_heads": 0, "hidden_act": "relu", "vocab_size": -1}""").Count.ShouldBe(7);

    [Theory]
    [InlineData("")]
    [InlineData("[1]")]
    [InlineData("{\"a\": 1, \"a\": 2}")]
    [InlineData("{\"a\": NaN}")]
    public void Read_NoJsonObject_IsRefused(string text) => ErrorsOf(text).ShouldHaveSingleItem().ShouldStartWith("config.json ");

    [Fact]
    public void Read_MutatedFile_IsReadOrRefusedNeverACrash()
    {
        var text = RandomCheckpoint.Config("Phi3ForCausalLM", JsonNode.Parse("""
            {"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 1, 1, 1]}, "original_max_position_embeddings": 64, "layer_types": ["full_attention", "full_attention"]}
            """)!.AsObject()).ToJsonString();
        string[] pieces = ["{", "}", "[", "]", ":", ",", "\"", "-", "0", "9", "1e9", ".", "null", "true", "\\ud800", "\"\"", " "];
        var piece = Gen.Int[0, pieces.Length - 1].Select(i => pieces[i]);

        Gen.Select(Gen.Int[0, text.Length - 1], Gen.Int[0, 6], piece).Array[1, 4].Sample(
            mutations =>
            {
                var mutated = text;
                foreach (var (at, length, insert) in mutations)
                {
                    var start = Math.Min(at, mutated.Length);
                    mutated = mutated[..start] + insert + mutated[Math.Min(start + length, mutated.Length)..];
                }

                var name = $"{Guid.NewGuid()}.json";
                writer.WriteText(name, mutated);
                var errors = new LoadErrors();
                (ModelConfig.Read(writer.FilePath(name), errors) is null).ShouldBe(errors.Any);
                File.Delete(writer.FilePath(name));
            },
            iter: 2000);
    }

    [Fact]
    public void ReadGeneration_Qwen_GivesItsSampling()
    {
        writer.WriteText("generation_config.json", """
            {"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "repetition_penalty": 1.1, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": null}
            """);
        var errors = new LoadErrors();

        var config = GenerationConfig.Read(writer.FilePath("generation_config.json"), errors);

        errors.ToList().ShouldBeEmpty();
        config.EosTokenIds.ShouldBe([151645, 151643]);
        config.Sampling.ShouldBe(new SamplingOptions { Temperature = 0.7f, TopK = 20, TopP = 0.8f, RepetitionPenalty = 1.1f });
    }

    [Fact]
    public void ReadGeneration_NoSampling_IsGreedy()
    {
        writer.WriteText("generation_config.json", """{"eos_token_id": 2, "temperature": 0.7}""");

        var config = GenerationConfig.Read(writer.FilePath("generation_config.json"), new LoadErrors());

        config.Sampling.Temperature.ShouldBe(0);
        config.EosTokenIds.ShouldBe([2]);
    }

    [Theory]
    [InlineData("temperature", "-0.1")]
    [InlineData("top_p", "0")]
    [InlineData("top_p", "1.1")]
    [InlineData("top_k", "-1")]
    [InlineData("min_p", "2")]
    [InlineData("repetition_penalty", "0")]
    [InlineData("eos_token_id", "-1")]
    [InlineData("do_sample", "\"yes\"")]
    public void ReadGeneration_OutOfRange_IsRefused(string field, string value)
    {
        writer.WriteText("generation_config.json", $$"""{"{{field}}": {{value}}}""");
        var errors = new LoadErrors();

        GenerationConfig.Read(writer.FilePath("generation_config.json"), errors);

        errors.ToList().ShouldHaveSingleItem().ShouldContain($"generation_config.json: {field} is");
    }

    public void Dispose() => writer.Dispose();

    private ModelConfig Read(string json)
    {
        writer.WriteText("config.json", json);
        var errors = new LoadErrors();
        var config = ModelConfig.Read(writer.FilePath("config.json"), errors);
        errors.ToList().ShouldBeEmpty();
        return config!;
    }

    private IReadOnlyList<string> ErrorsOf(string json)
    {
        writer.WriteText("config.json", json);
        var errors = new LoadErrors();
        ModelConfig.Read(writer.FilePath("config.json"), errors).ShouldBeNull();
        return errors.ToList();
    }
}
