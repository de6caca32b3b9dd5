namespace LocalLlm.KvCache;

/// <summary>
/// A piece of cache memory from a <see cref="KvPool"/>, shared by reference count; the last owner gives it back. Owned by the engine thread.
/// </summary>
internal abstract class KvUnit
{
    private KvPool? pool;

    /// <summary>Its kind; units of a kind are alike and take each other's place.</summary>
    public KvUnitKind Kind { get; private set; } = null!;

    /// <summary>Bytes of the unit.</summary>
    public long Bytes => Kind.Bytes;

    /// <summary>Caches that use it; 0 while it lies idle in the pool.</summary>
    public int Owners { get; private set; }

    /// <summary>True if another cache uses this unit too.</summary>
    public bool IsShared => Owners > 1;

    /// <summary>Adds an owner.</summary>
    public void AddOwner()
    {
        if (++Owners == 2)
            pool!.CountShared(Bytes);
    }

    /// <summary>Removes an owner; the last one gives the unit back.</summary>
    public void Release()
    {
        if (--Owners == 1)
            pool!.CountShared(-Bytes);
        if (Owners > 0)
            return;
        if (Owners < 0)
            throw new InvalidOperationException($"{Kind.Name}: given back more often than taken.");
        pool!.GiveBack(this);
    }

    /// <summary>Frees the memory; by the pool alone.</summary>
    public abstract void Free();

    /// <summary>Hands the unit to its first owner; by the pool alone.</summary>
    public void Start(KvPool owner, KvUnitKind kind) => (pool, Kind, Owners) = (owner, kind, 1);
}

/// <summary>What units of one kind have in common, and those of them that lie idle.</summary>
/// <param name="name">What it is, for messages.</param>
/// <param name="bytes">Bytes of a unit.</param>
internal abstract class KvUnitKind(string name, long bytes)
{
    /// <summary>What it is, for messages.</summary>
    public string Name => name;

    /// <summary>Bytes of a unit.</summary>
    public long Bytes => bytes;

    /// <summary>Units that nobody uses, kept for the next who wants one; the pool's.</summary>
    public Stack<KvUnit> Idle { get; } = [];
}

/// <inheritdoc/>
/// <param name="name">What it is, for messages.</param>
/// <param name="bytes">Bytes of a unit.</param>
/// <param name="create">Allocates a unit; its content is undefined.</param>
internal sealed class KvUnitKind<T>(string name, long bytes, Func<T> create) : KvUnitKind(name, bytes)
    where T : KvUnit
{
    /// <summary>Allocates a unit.</summary>
    public T Create() => create();
}
