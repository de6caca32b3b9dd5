using System.Globalization;
using System.Net;
using System.Xml;
using LocalLlm.Sampling.Constraints.Automata;

namespace LocalLlm.Tests.Sampling.Constraints.Automata;

public class StringFormatsTests
{
    [Fact]
    public void Find_Date_IsTheCalendar()
    {
        var dates = StringFormats.Find("date")!;
        foreach (var year in (int[])[1, 4, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999])
        {
            for (var month = 0; month <= 13; month++)
            {
                for (var day = 0; day <= 32; day++)
                {
                    var text = string.Create(CultureInfo.InvariantCulture, $"{year:D4}-{month:D2}-{day:D2}");
                    var isDate = DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _);
                    CharDfas.Matches(dates, text).ShouldBe(isDate, text);
                }
            }
        }
    }

    [Theory]
    [InlineData("date-time", "2024-02-29T23:59:59.123Z", true)]
    [InlineData("date-time", "2023-02-29T23:59:59Z", false)]
    [InlineData("date-time", "2024-01-01T00:00:00+05:30", true)]
    [InlineData("date-time", "2024-01-01 00:00:00Z", false)]
    [InlineData("date-time", "2024-01-01T00:00:00.1234567Z", true)]
    [InlineData("date-time", "2024-01-01T00:00:00.12345678Z", false)]
    [InlineData("date-time", "2024-01-01T00:00:00+14:00", true)]
    [InlineData("date-time", "2024-01-01T00:00:00+14:01", false)]
    [InlineData("date-time", "9999-12-31T23:59:59Z", true)]
    [InlineData("date-time", "9999-12-31T23:59:59-01:00", false)]
    [InlineData("date-time", "0001-01-01T00:00:00+01:00", false)]
    [InlineData("date-time", "9998-12-31T23:59:59-01:00", true)]
    [InlineData("time", "24:00:00Z", false)]
    [InlineData("time", "23:00:00-15:00", false)]
    [InlineData("duration", "P1Y2M3DT4H5M6S", true)]
    [InlineData("duration", "PT", false)]
    [InlineData("duration", "P2W", true)]
    [InlineData("uuid", "123e4567-e89b-12d3-a456-426614174000", true)]
    [InlineData("uuid", "123e4567e89b12d3a456426614174000", false)]
    [InlineData("email", "ann.b+c@mail.example.com", true)]
    [InlineData("email", "ann@", false)]
    [InlineData("hostname", "my-host.example.com", true)]
    [InlineData("hostname", "-a.com", false)]
    [InlineData("uri", "https://example.com:8080/a/b?c=d#e", true)]
    [InlineData("uri", "urn:isbn:0451450523", true)]
    [InlineData("uri", "/relative", false)]
    [InlineData("uri-reference", "/relative?x", true)]
    [InlineData("byte", "AAE=", true)]
    [InlineData("byte", "AAE", false)]
    [InlineData("byte", "AB==", false)]
    [InlineData("byte", "Ag==", true)]
    [InlineData("json-pointer", "/a/~1b", true)]
    [InlineData("json-pointer", "a", false)]
    public void Find_Format_IsItsStandard(string format, string text, bool expected) =>
        CharDfas.Matches(StringFormats.Find(format)!, text).ShouldBe(expected);

    [Fact]
    public void Find_LongestDuration_IsATimeSpan()
    {
        const string Longest = "P9999Y99999M999999DT9999999H999999999M999999999S";

        CharDfas.Matches(StringFormats.Find("duration")!, Longest).ShouldBeTrue();
        XmlConvert.ToTimeSpan(Longest).ShouldBeLessThan(TimeSpan.MaxValue);
        CharDfas.Matches(StringFormats.Find("duration")!, "P10000Y").ShouldBeFalse();
    }

    [Theory]
    [InlineData("::")]
    [InlineData("::1")]
    [InlineData("1::")]
    [InlineData("1:2:3:4:5:6:7:8")]
    [InlineData("1:2:3:4:5:6:7::")]
    [InlineData("1:2:3:4:5:6:7:8:9")]
    [InlineData("1::2::3")]
    [InlineData("::ffff:192.168.0.1")]
    [InlineData("1:2:3:4:5:6:1.2.3.4")]
    [InlineData("1:2:3:4:5:6:7:1.2.3.4")]
    [InlineData("12345::")]
    public void Find_Ipv6_IsWhatIsParsed(string text) =>
        CharDfas.Matches(StringFormats.Find("ipv6")!, text).ShouldBe(IPAddress.TryParse(text, out _));

    [Fact]
    public void Find_UnknownFormat_IsNull() => StringFormats.Find("klingon").ShouldBeNull();
}
