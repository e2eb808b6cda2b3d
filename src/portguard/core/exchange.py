"""What the shell tells the core, what the core asks of the shell, and what is remembered in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portguard.core.lifecycle import Book
from portguard.core.limits import Limiter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from portguard.core.guests import Shape
    from portguard.core.lifecycle import Alert
    from portguard.model.exposure import Exposure
    from portguard.model.finding import Kind
    from portguard.model.judgement import Judgement
    from portguard.model.policy import Policy, ServiceKey
    from portguard.model.ruleset import Actor, RulesetChange, Table
    from portguard.model.snapshot import Snapshot
    from portguard.model.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened, on both clocks."""

    monotonic: float
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """One transaction on its way to the kernel, and what it is for."""

    transaction: Transaction
    keys: frozenset[str]
    flows: tuple[str, ...]
    """Flows whose path has to be open afterwards."""
    what: str
    """What was wrong, for people: ``3 rules of inet portguard were removed``."""
    kind: Kind | None
    """``rule_removed`` or ``rule_altered``; None for what was not there before (first start, a new foreign chain)."""
    actor: Actor | None
    began: float
    """Monotonic time at which the kernel announced the change."""
    evidence: tuple[str, ...] = ()
    counts: bool = True
    """Whether it counts towards the limit: making the table at the first start is no fight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealRecord:
    """A heal that was done and verified, for the status."""

    when: datetime
    flow: str
    what: str
    took_ms: float
    actor: Actor | None


# --- events ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoaded:
    """A valid configuration was resolved."""

    at: Moment
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTableSeen:
    """The own table was read because something changed it."""

    at: Moment
    table: Table | None
    change: RulesetChange


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSeen:
    """Everything was looked at."""

    at: Moment
    snapshot: Snapshot
    sensitive: Mapping[int, Exposure]
    """What must never be exposed, by the cookie of its socket."""
    quiet: float
    """Seconds since somebody last changed the ruleset."""
    change: RulesetChange | None = None
    """The last change that somebody else made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealDone:
    """The kernel took a transaction."""

    at: Moment
    heal: Heal


@dataclass(frozen=True, slots=True, kw_only=True)
class HealRefused:
    """The kernel refused a transaction; nothing of it was applied."""

    at: Moment
    heal: Heal
    message: str


Event = PolicyLoaded | OwnTableSeen | WorldSeen | HealDone | HealRefused

# --- commands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Commit this transaction, and answer with HealDone or HealRefused."""

    heal: Heal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Send these alerts."""

    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Look at the world again, after so many seconds at the latest."""

    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Write the status."""


Command = Run | Tell | Look | Publish


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that the daemon remembers from one event to the next."""

    policy: Policy | None = None
    desired: Table | None = None
    """The own table as it must be; None while nothing may be written."""
    own_known: bool = False
    """The table of our name is ours: seen with our marks, or made by us."""
    renewed: bool = True
    """The own table as it must be is another one than before, and the kernel has not been given it yet."""
    usurped: bool = False
    """A table of our name was made by somebody else."""
    limiter: Limiter = Limiter()
    book: Book = Book()
    judgement: Judgement | None = None
    unverified: tuple[tuple[Heal, float], ...] = ()
    """Heals that the kernel took, with the milliseconds from announcement to commit, until the next look."""
    tried: frozenset[ServiceKey] = frozenset()
    """Services that were healed and are shut all the same."""
    fine_at: float = float("-inf")
    """Monotonic time of the last look after which nothing was left to heal."""
    calm: Shape | None = None
    """Shape of the foreign tables when they last were at rest."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why the kernel refused, by key."""
    records: tuple[HealRecord, ...] = ()
