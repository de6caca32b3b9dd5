using System.ComponentModel;
using LocalLlm.KvCache;

namespace LocalLlm.Tests;

public class MemoryBudgetTests
{
    [Theory]
    [InlineData("1073741824", 1L << 30)]
    [InlineData("2GiB", 2L << 30)]
    [InlineData("512 MiB", 512L << 20)]
    [InlineData("1.5GB", 1_500_000_000)]
    [InlineData(" 3 kib ", 3072)]
    [InlineData("0.5TiB", 1L << 39)]
    [InlineData("7B", 7)]
    [InlineData("1KB", 1000)]
    [InlineData("2MB", 2_000_000)]
    [InlineData("1TB", 1_000_000_000_000)]
    public void Parse_Bytes_GivesThem(string text, long bytes)
    {
        MemoryBudget.Parse(text).ShouldBe(new MemoryBudget(bytes));
        MemoryBudget.TryParse(text, out var budget).ShouldBeTrue();
        (budget.Bytes, budget.Share).ShouldBe((bytes, null));
    }

    [Theory]
    [InlineData("40%", 0.4)]
    [InlineData(" 12.5 % ", 0.125)]
    [InlineData("100%", 1)]
    public void Parse_Share_GivesIt(string text, double share) => MemoryBudget.Parse(text).ShouldBe(MemoryBudget.OfFreeMemory(share));

    [Theory]
    [InlineData("", "write a number of bytes")]
    [InlineData("lots", "'lots' is no amount of memory; write a number of bytes")]
    [InlineData("2 G", "KiB, MiB, GiB or TiB")]
    [InlineData("GiB", "write a number of bytes")]
    [InlineData("1,5GB", "write a number of bytes")]
    [InlineData("NaN%", "write a number of bytes")]
    [InlineData("0", "must be above 0")]
    [InlineData("-5", "must be above 0")]
    [InlineData("-1GB", "at least 1 byte")]
    [InlineData("0.1B", "at least 1 byte")]
    [InlineData("9000000TiB", "less than 8 EiB")]
    [InlineData("0%", "above 0% and at most 100%")]
    [InlineData("101%", "above 0% and at most 100%")]
    public void Parse_AnythingElse_SaysWhatIsOne(string text, string expected)
    {
        MemoryBudget.TryParse(text, out _).ShouldBeFalse();
        Should.Throw<FormatException>(() => MemoryBudget.Parse(text)).Message.ShouldContain(expected);
    }

    [Fact]
    public void Conversions_NumbersAndTexts_SetTheOption()
    {
        new KvCacheOptions { MemoryBytes = 1L << 30 }.MemoryBytes.ShouldBe(new MemoryBudget(1L << 30));
        new KvCacheOptions { MemoryBytes = 5 }.MemoryBytes!.Value.Bytes.ShouldBe(5);
        new KvCacheOptions { MemoryBytes = "25%" }.MemoryBytes!.Value.Share.ShouldBe(0.25);
        long? nothing = null;
        new KvCacheOptions { MemoryBytes = nothing }.MemoryBytes.ShouldBeNull();
        TypeDescriptor.GetConverter(typeof(MemoryBudget)).ConvertFromInvariantString("2GiB").ShouldBe(new MemoryBudget(2L << 30));
        Should.Throw<ArgumentOutOfRangeException>(() => MemoryBudget.OfFreeMemory(1.1));
    }

    [Theory]
    [InlineData("2GiB", "2147483648")]
    [InlineData("12.5%", "12.5%")]
    public void ToString_Any_IsReadBack(string text, string expected)
    {
        MemoryBudget.Parse(text).ToString().ShouldBe(expected);
        MemoryBudget.Parse(expected).ShouldBe(MemoryBudget.Parse(text));
    }

    [Fact]
    public void Resolve_EachForm_GivesTheBytes()
    {
        LocalLlm.Interop.LibTorch.EnsureLoaded();
        FreeMemory.Resolve(300, isCpu: true, () => throw new InvalidOperationException("nobody need ask")).ShouldBe(300);
        FreeMemory.Resolve("30%", isCpu: true, () => 1000).ShouldBe(300);
        FreeMemory.Resolve(null, isCpu: true, () => 1000).ShouldBe(400);
        FreeMemory.Resolve(null, isCpu: false, () => 1000).ShouldBe(800);
        FreeMemory.BytesOf(TorchSharp.torch.CPU).ShouldBeInRange(1, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
    }
}
