using System.Globalization;
using System.Text.RegularExpressions;

namespace LocalLlm.Tests.Kernels.Cuda.Ptx;

/// <summary>
/// A kernel in PTX as clang and NVRTC write it: one entry, an instruction a line. What the interpreter does not know is an error here, also where it would
/// never run.
/// </summary>
internal sealed partial class PtxModule
{
    /// <summary>Special registers, in the order of their registers.</summary>
    public static readonly string[] Special =
        ["%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid"];

    private const int MostSharedBytes = 48 * 1024; // of a block, declared in a kernel

    private readonly List<PtxInstruction> code = [];
    private readonly Dictionary<string, int> registers = []; // by name
    private readonly List<int> widths = []; // of the registers
    private readonly Dictionary<string, long> symbols = []; // addresses in the spaces of their own
    private readonly Dictionary<string, int> labels = [];
    private readonly Dictionary<ulong, int> constants = [];
    private readonly Dictionary<int, string> branches = []; // labels by instruction

    /// <summary>Reads a module.</summary>
    /// <exception cref="FormatException">A line is not understood; the message holds it.</exception>
    public PtxModule(string text)
    {
        foreach (var name in Special)
            AddRegister(name, 32);
        foreach (var line in text.Split('\n'))
        {
            var statement = line.Split("//")[0].Trim(' ', '\t', '\r', '\0');
            try
            {
                Read(statement);
            }
            catch (Exception e) when (e is FormatException or OverflowException or KeyNotFoundException or ArgumentException or IndexOutOfRangeException)
            {
                throw new FormatException($"PTX that is not understood: {statement} ({e.Message})", e);
            }
        }

        Instructions = [.. code];
        foreach (var (at, label) in branches)
            Instructions[at].Target = labels.TryGetValue(label, out var target) ? target : throw new FormatException($"There is no label {label}.");
        Constants = [.. constants.Select(c => (c.Value, c.Key))];
        if (SharedBytes > MostSharedBytes)
            throw new FormatException($"A kernel has {MostSharedBytes} bytes of shared memory at most; got {SharedBytes}.");
    }

    /// <summary>The entry's name.</summary>
    public string Entry { get; private set; } = "";

    /// <summary>Its instructions.</summary>
    public PtxInstruction[] Instructions { get; }

    /// <summary>Registers of a thread, the special ones and those of constants too.</summary>
    public int Registers => widths.Count;

    /// <summary>The registers of immediates and symbols.</summary>
    public (int Register, ulong Value)[] Constants { get; }

    /// <summary>Bytes of the parameters.</summary>
    public int ParamBytes { get; private set; }

    /// <summary>Bytes of a block's shared memory.</summary>
    public int SharedBytes { get; private set; }

    /// <summary>Bytes of a thread's local memory.</summary>
    public int LocalBytes { get; private set; }

    /// <summary>Threads of a block at most.</summary>
    public int MaxThreads { get; private set; } = 1024;

    [GeneratedRegex(@"^\.(?<space>param|shared|local)\s+(\.align\s+(?<align>\d+)\s+)?\.(?<type>\w+)\s+(?<name>[\w$]+)(\[(?<count>\d+)\])?[,;]?$")]
    private static partial Regex Variable();

    [GeneratedRegex(@"^\.reg\s+\.(?<type>\w+)\s+(?<name>%?\w+)(<(?<count>\d+)>)?;$")]
    private static partial Regex RegisterDeclaration();

    [GeneratedRegex(@"^(@(?<not>!)?(?<guard>%\w+)\s+)?(?<mnemonic>[\w.]+)(\s+(?<operands>.+))?;$")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"^\{\s*(?<statements>.+;)\s*\}$")]
    private static partial Regex Scope();

    [GeneratedRegex(@"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")]
    private static partial Regex Operand();

    // The registers of a scope within a line end with it.
    private void Read(string statement)
    {
        if (Scope().Match(statement) is { Success: true } scope)
        {
            var outside = registers.Keys.ToHashSet();
            foreach (var inner in scope.Groups["statements"].Value.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                Read(inner + ';');
            foreach (var name in registers.Keys.Except(outside).ToList())
                registers.Remove(name);
            return;
        }

        if (statement is "" or "{" or "}" or "(" or ")" || statement.StartsWith(".version", StringComparison.Ordinal)
            || statement.StartsWith(".target", StringComparison.Ordinal) || statement.StartsWith(".address_size 64", StringComparison.Ordinal)
            || statement.StartsWith(".minnctapersm", StringComparison.Ordinal) || statement.StartsWith(".pragma \"nounroll\"", StringComparison.Ordinal))
            return;
        if (statement.EndsWith(':'))
            labels.Add(statement[..^1], code.Count);
        else if (statement.StartsWith(".visible .entry ", StringComparison.Ordinal) && Entry == "")
            Entry = statement[".visible .entry ".Length..].TrimEnd('(');
        else if (statement.StartsWith(".maxntid ", StringComparison.Ordinal))
            MaxThreads = statement[".maxntid ".Length..].Split(',').Select(n => int.Parse(n, CultureInfo.InvariantCulture)).Aggregate((a, b) => a * b);
        else if (RegisterDeclaration().Match(statement) is { Success: true } register)
            DeclareRegisters(register);
        else if (Variable().Match(statement) is { Success: true } variable)
            DeclareVariable(variable);
        else if (Instruction().Match(statement) is { Success: true } instruction)
            code.Add(Decode(instruction));
        else
            throw new FormatException("no statement");
    }

    private void DeclareRegisters(Match match)
    {
        var (name, bits) = (match.Groups["name"].Value, PtxOpcodes.Type(match.Groups["type"].Value).Bits);
        if (!match.Groups["count"].Success)
            AddRegister(name, bits);
        for (var i = 0; match.Groups["count"].Success && i < Number(match.Groups["count"].Value); i++)
            AddRegister($"{name}{i}", bits);
    }

    private void DeclareVariable(Match match)
    {
        var element = PtxOpcodes.Type(match.Groups["type"].Value).Bits / 8;
        var bytes = element * (match.Groups["count"].Success ? Number(match.Groups["count"].Value) : 1);
        var alignment = match.Groups["align"].Success ? Number(match.Groups["align"].Value) : element;
        var space = match.Groups["space"].Value;
        var start = (space switch { "param" => ParamBytes, "shared" => SharedBytes, _ => LocalBytes } + alignment - 1) / alignment * alignment;
        symbols.Add(match.Groups["name"].Value, start);
        switch (space)
        {
            case "param": ParamBytes = start + bytes; break;
            case "shared": SharedBytes = start + bytes; break;
            default: LocalBytes = start + bytes; break;
        }
    }

    private PtxInstruction Decode(Match match)
    {
        var mnemonic = match.Groups["mnemonic"].Value;
        string[] operands = [.. Operand().Matches(match.Groups["operands"].Value).Select(o => o.Value)];
        var instruction = new PtxInstruction { Text = match.Value, Guard = -1 };
        if (match.Groups["guard"].Success)
            (instruction.Guard, instruction.IsGuardNegated) = (Register(match.Groups["guard"].Value, 1, isWritten: false), match.Groups["not"].Success);
        var parts = mnemonic.Split('.');
        switch (parts[0])
        {
            case "bra":
                instruction.Op = PtxOp.Branch;
                branches.Add(code.Count, operands.Single());
                break;
            case "mov":
                DecodeMove(ref instruction, parts[^1], operands);
                break;
            case "ld" or "st":
                DecodeAccess(ref instruction, parts, operands);
                break;
            case "atom":
                DecodeAtomic(ref instruction, mnemonic, operands);
                break;
            case "prefetch" when mnemonic == "prefetch.global.L2":
                (instruction.Op, instruction.Space, instruction.Bits) = (PtxOp.Prefetch, PtxSpace.Global, 8);
                ReadAddress(ref instruction, operands.Single());
                break;
            case "mma":
                DecodeTile(ref instruction, mnemonic, operands);
                break;
            case "setp" when parts.Length == 3:
                var (kind, bits) = PtxOpcodes.Type(parts[2]);
                instruction.Op = kind == 'f' && bits == 32 ? PtxOp.CompareFloat : PtxOp.Compare;
                instruction.Orders = PtxOpcodes.Orders(parts[1], kind);
                if (instruction.Orders == 0 || (kind == 'f' && bits != 32))
                    throw new FormatException("unknown comparison");
                (instruction.Bits, instruction.IsSigned) = (bits, kind == 's');
                ReadOperands(ref instruction, "pww", operands);
                break;
            case "cvt" when parts.Length == 3 && PtxOpcodes.Type(parts[1]) is (not 'f', > 8 and var to) && PtxOpcodes.Type(parts[2]) is (not 'f' and var from, > 1 and var source):
                (instruction.Op, instruction.Bits, instruction.IsSigned) = (PtxOp.Convert, source, from == 's');
                (instruction.D, instruction.A) = (Register(operands[0], to), ReadAtLeast(operands[1], source));
                instruction.Mask = Mask(to);
                break;
            default:
                var known = PtxOpcodes.Find(mnemonic) ?? throw new FormatException("unknown opcode");
                (instruction.Op, instruction.Bits, instruction.IsSigned) = (known.Op, known.Bits, known.IsSigned);
                if (known.Op is PtxOp.FloatToInteger)
                    instruction.IsSigned = parts[2][0] == 's';
                if (known.Op is PtxOp.ToGeneric or PtxOp.FromGeneric)
                    instruction.Space = Space(parts[^2]);
                ReadOperands(ref instruction, known.Operands, operands);
                break;
        }

        return instruction;
    }

    private void ReadOperands(ref PtxInstruction instruction, string widthsOf, string[] operands)
    {
        var sources = widthsOf[0] == '-' ? operands : operands[1..];
        if (sources.Length != widthsOf.Length - 1)
            throw new FormatException($"{widthsOf.Length} operands are expected");
        var bits = instruction.Bits;
        if (widthsOf[0] != '-')
        {
            var results = operands[0].Split('|'); // a shuffle may also say whether there was a lane to read
            (instruction.D, instruction.Mask) = (Register(results[0], Width(widthsOf[0])), Mask(Width(widthsOf[0])));
            if (results.Length > 1)
                instruction.Vector = instruction.Op == PtxOp.Shuffle ? [Register(results[1], 1)] : throw new FormatException("one result is expected");
        }

        for (var i = 0; i < sources.Length; i++)
        {
            var source = ReadOperand(sources[i], Width(widthsOf[i + 1]));
            switch (i)
            {
                case 0: instruction.A = source; break;
                case 1: instruction.B = source; break;
                case 2: instruction.C = source; break;
                default: instruction.E = source; break;
            }
        }

        int Width(char letter) => letter switch { 'w' => bits, 'W' => 2 * bits, 'i' => 32, 'h' => 16, _ => 1 };
    }

    // A vector of registers is packed into one, or one unpacked, the first the lowest.
    private void DecodeMove(ref PtxInstruction instruction, string type, string[] operands)
    {
        var bits = PtxOpcodes.Type(type).Bits;
        var (to, from) = (operands[0], operands[1]);
        if (operands.Length != 2 || bits == 0)
            throw new FormatException("unknown move");
        if (!to.StartsWith('{') && !from.StartsWith('{'))
        {
            (instruction.Op, instruction.D, instruction.A) = (PtxOp.Move, Register(to, bits), ReadOperand(from, bits));
            return;
        }

        instruction.Op = from.StartsWith('{') ? PtxOp.Pack : PtxOp.Unpack;
        var elements = Elements(from.StartsWith('{') ? from : to);
        instruction.Bits = bits / elements.Length;
        var width = instruction.Bits;
        instruction.Vector = [.. elements.Select(e => ReadOperand(e, width))];
        (instruction.D, instruction.A) = from.StartsWith('{') ? (Register(to, bits), 0) : (0, Register(from, bits, isWritten: false));
    }

    private void DecodeAccess(ref PtxInstruction instruction, string[] parts, string[] operands)
    {
        var isLoad = parts[0] == "ld";
        var (kind, bits) = PtxOpcodes.Type(parts[^1]);
        (instruction.Op, instruction.Bits, instruction.IsSigned) = (isLoad ? PtxOp.Load : PtxOp.Store, bits, kind == 's');
        var vector = 1;
        foreach (var part in parts[1..^1])
        {
            switch (part)
            {
                case "v2" or "v4": vector = part[1] - '0'; break;
                case "nc" when isLoad && instruction.Space == PtxSpace.Global: break;
                default: instruction.Space = Space(part); break;
            }
        }

        if (bits < 8 || (instruction.Space == PtxSpace.Param && !isLoad) || operands.Length != 2)
            throw new FormatException("unknown access");
        ReadAddress(ref instruction, operands[isLoad ? 1 : 0]);
        var elements = Elements(operands[isLoad ? 0 : 1]);
        if (elements.Length != vector)
            throw new FormatException($"a vector of {vector} is expected");
        instruction.Vector = [.. elements.Select(e => isLoad ? Register(e, bits, orMore: true) : ReadAtLeast(e, bits))];
        instruction.Mask = Mask(widths[instruction.Vector[0]]);
    }

    private void DecodeAtomic(ref PtxInstruction instruction, string mnemonic, string[] operands)
    {
        instruction.Space = mnemonic switch
        {
            "atom.min.s32" => PtxSpace.Generic,
            "atom.global.min.s32" => PtxSpace.Global,
            _ => throw new FormatException("unknown atomic"),
        };
        (instruction.Op, instruction.Bits, instruction.IsSigned) = (PtxOp.AtomicMin, 32, true);
        (instruction.D, instruction.B) = (Register(operands[0], 32), ReadOperand(operands[2], 32));
        ReadAddress(ref instruction, operands[1]);
    }

    private void DecodeTile(ref PtxInstruction instruction, string mnemonic, string[] operands)
    {
        // Bits tells the two apart: those of the mantissas.
        (instruction.Op, instruction.Bits) = mnemonic switch
        {
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" => (PtxOp.MultiplyTile, 8),
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" => (PtxOp.MultiplyTile, 11),
            _ => throw new FormatException("unknown mma"),
        };
        var counts = operands.Select(o => Elements(o).Length);
        if (!counts.SequenceEqual([4, 4, 2, 4]))
            throw new FormatException("fragments of 4, 4, 2 and 4 registers are expected");
        instruction.Vector = [.. operands.SelectMany((o, i) => Elements(o).Select(e => i == 0 ? Register(e, 32) : ReadOperand(e, 32)))];
    }

    private void ReadAddress(ref PtxInstruction instruction, string operand)
    {
        if (!operand.StartsWith('['))
            throw new FormatException("an address is expected");
        var parts = operand[1..^1].Split('+', 2);
        instruction.Offset = parts.Length > 1 ? Integer(parts[1]) : 0;
        var name = parts[0].Trim();
        var isNarrow = registers.TryGetValue(name, out var register) && widths[register] == 32 && instruction.Space is not (PtxSpace.Generic or PtxSpace.Global);
        instruction.A = ReadOperand(name, isNarrow ? 32 : 64);
    }

    private static string[] Elements(string operand) =>
        operand.StartsWith('{') ? operand[1..^1].Split(',', StringSplitOptions.TrimEntries) : [operand];

    private int ReadAtLeast(string operand, int bits) =>
        registers.ContainsKey(operand) ? Register(operand, bits, orMore: true, isWritten: false) : ReadOperand(operand, bits);

    private int ReadOperand(string operand, int bits)
    {
        if (registers.ContainsKey(operand))
            return Register(operand, bits, isWritten: false);
        if (symbols.TryGetValue(operand, out var address))
            return Constant((ulong)address);
        if (operand.StartsWith("0f", StringComparison.Ordinal) && bits == 32)
            return Constant(uint.Parse(operand.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
        return Constant((ulong)Integer(operand) & Mask(bits));
    }

    private int Constant(ulong value)
    {
        if (!constants.TryGetValue(value, out var register))
        {
            constants.Add(value, register = widths.Count);
            widths.Add(64);
        }

        return register;
    }

    private int Register(string name, int bits, bool orMore = false, bool isWritten = true)
    {
        var register = registers[name];
        if (orMore ? widths[register] < bits : widths[register] != bits)
            throw new FormatException($"{name} has {widths[register]} bits, not {bits}");
        return isWritten && register < Special.Length ? throw new FormatException($"{name} cannot be written") : register;
    }

    private void AddRegister(string name, int bits)
    {
        if (bits == 0)
            throw new FormatException("a type is expected");
        registers.Add(name, widths.Count);
        widths.Add(bits);
    }

    private static PtxSpace Space(string name) => name switch
    {
        "global" => PtxSpace.Global,
        "shared" => PtxSpace.Shared,
        "local" => PtxSpace.Local,
        "param" => PtxSpace.Param,
        _ => throw new FormatException($"unknown qualifier {name}"),
    };

    private static ulong Mask(int bits) => bits == 64 ? ulong.MaxValue : (1UL << bits) - 1;

    private static int Number(string digits) => int.Parse(digits, CultureInfo.InvariantCulture);

    private static long Integer(string digits)
    {
        digits = digits.TrimEnd('U');
        var isNegative = digits.StartsWith('-');
        var absolute = digits.TrimStart('-');
        var value = absolute.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            ? ulong.Parse(absolute.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture)
            : ulong.Parse(absolute, CultureInfo.InvariantCulture);
        return isNegative ? -(long)value : (long)value;
    }
}
