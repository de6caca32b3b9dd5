using LocalLlm.Interop;
using LocalLlm.Loading;
using LocalLlm.Models;
using static TorchSharp.torch;

namespace LocalLlm.Tests.Models;

public class WeightRoomTests
{
    public WeightRoomTests() => LibTorch.EnsureLoaded();

    [Fact]
    public void Check_AsMuchAsIsFree_Passes() => Should.NotThrow(() => WeightRoom.Check(100, 100, ScalarType.Float32, "cuda:0"));

    [Fact]
    public void Check_OneByteTooMany_GivesBothFiguresAndTheWaysOut()
    {
        var message = Should.Throw<ModelLoadException>(() => WeightRoom.Check(16_060_522_497, 16_060_522_496, ScalarType.Float32, "cuda:1")).Message;

        message.ShouldContain("onto cuda:1: as Float32 they take 16.06 GB (16,060,522,497 bytes), and 16.06 GB (16,060,522,496 bytes) are free");
        message.ShouldContain("BFloat16");
    }

    [Fact]
    public void Check_NarrowType_OffersNoNarrower() =>
        Should.Throw<ModelLoadException>(() => WeightRoom.Check(2, 1, ScalarType.BFloat16, "cuda:0")).Message.ShouldContain("choose a smaller model");

    [Fact]
    public void Require_OnTheCpu_AsksNobody() => Should.NotThrow(() => WeightRoom.Require(long.MaxValue, ScalarType.Float32, CPU));
}
