"""nftables objects with nft's own words, read from ``nft -j list`` and not interpreted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = Any
"""A value of libnftables' JSON (``man libnftables-json``)."""


class TableKey(NamedTuple):
    """Name of a table: unique within its family."""

    family: str
    """``ip``, ``ip6``, ``inet``, ``arp``, ``bridge`` or ``netdev``."""
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


_LEGACY = " of iptables-legacy"


def legacy_key(name: str) -> TableKey:
    """Name a table of iptables-legacy (``ip filter``) among those of nft, which cannot show its rules."""
    family, _, table = name.partition(" ")
    return TableKey(family, table + _LEGACY)


def only_shuts(key: TableKey) -> bool:
    """Whether a table that cannot be read can do no more than let pass or shut out: no translation, no mark."""
    return key.name in {f"filter{_LEGACY}", f"security{_LEGACY}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A base chain (with a hook) or a regular chain (reached by jump and goto)."""

    name: str
    handle: int = 0
    type: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    """``accept`` or ``drop``; None in a regular chain."""
    devices: tuple[str, ...] | None = None
    """Interfaces of an ingress chain; None where nft does not say (its JSON before 1.0.8 leaves them out)."""

    @property
    def base(self) -> bool:
        """Whether the kernel enters it by itself."""
        return self.hook is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. ``expr`` is its list of statements as libnftables spells them."""

    chain: str
    handle: int = 0
    expr: tuple[Json, ...]
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A named set or map."""

    name: str
    handle: int = 0
    type: tuple[str, ...]
    """Datatypes of the key, several when concatenated: ``("ipv4_addr", "inet_service")``."""
    map: str | None = None
    """Datatype of the value, when this is a map; ``verdict`` for a verdict map."""
    flags: tuple[str, ...] = ()
    elements: Sequence[Json] | None
    """Many of them stay text (``model/elements.py``). None: not read (a terse listing, or too large): its content is unknown, not empty."""
    dynamic: bool = False
    """Rules add elements to it as packets pass."""
    size: int | None = field(default=None, compare=False)
    """Most elements that it takes; None: as many as come."""
    statements: tuple[Json, ...] = field(default=(), compare=False)
    """What each element that rules add carries along: a counter, a limit."""

    @property
    def full(self) -> bool:
        """Whether it may take no more elements."""
        return self.size is not None and (self.elements is None or len(self.elements) >= self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with everything in it, in the kernel's order."""

    key: TableKey
    handle: int = 0
    flags: tuple[str, ...] = ()
    chains: Mapping[str, Chain] = field(default_factory=dict)
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    """Rules by chain, in order; a chain without rules may be absent."""
    sets: Mapping[str, Set] = field(default_factory=dict)
    """Named sets and maps."""

    def rules_of(self, chain: str) -> tuple[Rule, ...]:
        """Rules of a chain in order."""
        return self.rules.get(chain, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All tables of one network namespace as of one generation."""

    generation: int
    tables: Mapping[TableKey, Table]
    unreadable: Mapping[TableKey, str] = field(default_factory=dict)
    """Tables that exist and could not be read, with the reason: what they decide is unknown."""

    def base_chains(self, hook: str, *families: str) -> Iterator[tuple[Table, Chain]]:
        """Yield base chains on a hook by priority; of equal priority, the one registered last comes first.

        So does the kernel. A listing does not tell when a chain was registered: it is taken for the order of the
        tables and of the chains in each, which only a chain added to an older table later on breaks.
        """
        found = [
            (table, chain)
            for table in self.tables.values()
            if table.key.family in families
            for chain in table.chains.values()
            if chain.hook == hook
        ]
        found.reverse()
        yield from sorted(found, key=lambda row: row[1].priority or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRef:
    """Points at what decides: a rule, or a base chain's policy when ``handle`` is None."""

    table: TableKey
    chain: str
    handle: int | None
    text: str
    """The rule as nft text, or ``policy drop``."""
    comment: str | None = None

    def __str__(self) -> str:
        where = f"{self.table} {self.chain}"
        return f"{where}: {self.text}" if self.handle is None else f"{where} rule {self.handle}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who committed a ruleset change, as far as the kernel, /proc and the audit log say. Comm is set by the process itself."""

    comm: str | None = None
    pid: int | None = None
    parent: str | None = None
    """Name of the parent process: for a one-shot ``nft`` the script or shell behind it."""
    unit: str | None = None
    loginuid: int | None = None
    """Login user of the session (audit loginuid); None when there is none."""
    parents: tuple[str, ...] = ()
    """Names of the processes behind it, the parent first."""
    login: str | None = None
    """Name of the login user."""
    session: str | None = None
    """Login session, as ``loginctl`` numbers them."""
    remote: str | None = None
    """Host from which that user logged in."""
    exe: str | None = None
    package: str | None = None
    """Debian package that the executable belongs to."""
    audited: bool = False
    """Parts of it come from the audit log: the process was gone when the change was heard of."""
    generation: int | None = field(default=None, compare=False)
    """Generation of the ruleset that it committed, by which the audit log knows it."""
    exe_here: bool = field(default=False, compare=False)
    """The executable is the file that this host has under that path: not so in a container, or when it was replaced."""
    parent_pid: int | None = field(default=None, compare=False)
    started: float | None = field(default=None, compare=False)
    """Start of the process, seconds since boot; None when it was gone."""
    heard: float | None = field(default=None, compare=False)
    """When the change was heard of, seconds since boot."""

    @property
    def writer(self) -> str:
        """Who is held responsible when heals are undone: the unit where known, else the program."""
        return f"{self.unit or '-'}/{self.comm or '?'}"

    def __str__(self) -> str:
        parts = [self.comm or "an unknown process"]
        if self.pid is not None:
            parts.append(f"pid {self.pid}")
        if self.parent:
            parts.append(f"from {' < '.join(self.parents[:4]) or self.parent}")
        if self.unit:
            parts.append(self.unit)
        if self.loginuid is not None:
            parts.append(f"login {self.login}" if self.login else f"login uid {self.loginuid}")
        if self.remote:
            parts.append(f"logged in from {self.remote}")
        return parts[0] + (f" ({', '.join(parts[1:])})" if parts[1:] else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesetChange:
    """One committed nftables transaction, as announced by the kernel (NFT_MSG_NEWGEN)."""

    generation: int
    own: bool
    """Committed by this process."""
    tables: frozenset[TableKey]
    """Tables that it touched."""
    actor: Actor
    received: float
    """Monotonic time of the announcement, seconds."""
