using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace SK.Connectors.LogQuant.Tests.Documentation;

/// <summary>The C# in the documents compiles against the libraries as they are.</summary>
public sealed class DocumentationCodeTests
{
    private static readonly string[] Documents = ["README.md", "semantic-kernel.md", "migration.md", "hosting.md"];

    // What the head of a page says is there: namespaces, and objects that the reader has.
    private const string Prelude = """
        global using System;
        global using System.Collections.Generic;
        global using System.ComponentModel;
        global using System.IO;
        global using System.Linq;
        global using System.Text.Json;
        global using System.Threading;
        global using System.Threading.Tasks;
        global using Microsoft.AspNetCore.Builder;
        global using Microsoft.Extensions.AI;
        global using Microsoft.Extensions.Configuration;
        global using Microsoft.Extensions.DependencyInjection;
        global using Microsoft.Extensions.Hosting;
        global using Microsoft.SemanticKernel;
        global using Microsoft.SemanticKernel.ChatCompletion;
        global using SK.Connectors.LogQuant;
        global using AtHand;
        global using static AtHand.Objects;

        namespace AtHand
        {
            public static class Objects
            {
                public static Kernel kernel = null!;
                public static IServiceCollection services = null!;
                public static IConfiguration configuration = null!;
                public static ChatHistory history = null!;
                public static IChatCompletionService chat = null!;
                public static IChatClient client = null!;
                public static string text = "";
            }

            public class StockPlugin
            {
                [KernelFunction]
                public int Check(string item) => item.Length;
            }
        }
        """;

    private static readonly MetadataReference[] References =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Select(path => MetadataReference.CreateFromFile(path)),
    ];

    // Experimental interfaces warn as errors; CS1701: assembly versions that binding unifies.
    private static readonly CSharpCompilationOptions Options = new(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable,
        specificDiagnosticOptions: [new("SKEXP0001", ReportDiagnostic.Suppress), new("SKEXP0110", ReportDiagnostic.Suppress), new("CS1701", ReportDiagnostic.Suppress)]);

    private static readonly SyntaxTree PreludeTree = Parse(Prelude, "prelude");

    public static TheoryData<string> Names => [.. Documents];

    [Theory]
    [MemberData(nameof(Names))]
    public void Blocks_OfADocument_Compile(string document)
    {
        CodeBlock[] blocks = [.. CodeBlock.In(document, File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", document)))];

        blocks.ShouldNotBeEmpty();
        blocks.Where(b => b.SkipReason is null).SelectMany(Errors).ShouldBeEmpty();
    }

    [Fact]
    public void Errors_WrongCode_NamesDocumentAndLine()
    {
        CodeBlock block = CodeBlock.In("page.md", "# Page\n\n```csharp\nvar a = 1;\nnonsense();\n```\n").Single();

        Errors(block).Single().ShouldStartWith("page.md(5): ");
    }

    [Fact]
    public void In_CommentBefore_SkipsWithItsReason()
    {
        CodeBlock[] blocks = [.. CodeBlock.In("page.md", "<!-- compile: skip no such package -->\n```csharp\nnonsense\n```\n```csharp\n;\n```\n")];

        blocks.Select(b => b.SkipReason).ShouldBe(["no such package", null]);
    }

    private static IEnumerable<string> Errors(CodeBlock block) =>
        CSharpCompilation.Create("Block", [Parse(block.Code, block.Document), PreludeTree], References, Options)
            .GetDiagnostics()
            // CS5001: a block that only declares has no entry point.
            .Where(d => d.Severity == DiagnosticSeverity.Error && d.Id != "CS5001")
            .Select(d => $"{block.Document}({block.Line + d.Location.GetLineSpan().StartLinePosition.Line}): {d.Id} {d.GetMessage(null)}");

    private static SyntaxTree Parse(string code, string path) =>
        CSharpSyntaxTree.ParseText(code, new CSharpParseOptions(LanguageVersion.Preview), path);
}
