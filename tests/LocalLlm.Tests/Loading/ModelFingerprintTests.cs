using LocalLlm.Loading;

namespace LocalLlm.Tests.Loading;

public sealed class ModelFingerprintTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("fingerprint-").FullName;

    public ModelFingerprintTests()
    {
        File.WriteAllText(Path.Combine(folder, "config.json"), "{}");
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), "{ }");
        File.WriteAllBytes(Path.Combine(folder, "model.safetensors"), Weights(seed: 1, bytes: 3_000_000));
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Of_TheSameFilesElsewhere_IsTheSame()
    {
        var before = ModelFingerprint.Of(folder);
        var copy = Directory.CreateTempSubdirectory("fingerprint-").FullName;
        foreach (var file in Directory.GetFiles(folder))
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        ModelFingerprint.Of(copy).ShouldBe(before);
        Directory.Delete(copy, recursive: true);
    }

    [Fact]
    public void Of_AnyFileOfAnotherContent_Differs()
    {
        var seen = new HashSet<string> { Hex() };
        Change("config.json", "{\"rope_theta\": 1}"u8.ToArray());
        Change("tokenizer.json", "{}"u8.ToArray());
        Change("model.safetensors", Weights(seed: 2, bytes: 3_000_000));
        Change("model.safetensors", Weights(seed: 2, bytes: 3_000_001));
        Change("model.safetensors", []);
        Change("model.safetensors", [1]);
        Change("tokenizer_config.json", "{}"u8.ToArray());
        Change("model-2.safetensors", [1]);

        void Change(string name, byte[] content)
        {
            File.WriteAllBytes(Path.Combine(folder, name), content);
            seen.Add(Hex()).ShouldBeTrue(name);
        }

        string Hex() => Convert.ToHexString(ModelFingerprint.Of(folder));
    }

    private static byte[] Weights(int seed, int bytes)
    {
        var content = new byte[bytes];
        new Random(seed).NextBytes(content);
        return content;
    }
}
