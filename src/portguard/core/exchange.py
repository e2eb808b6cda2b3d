"""What the shell tells the core, what the core asks of the shell, and what is remembered in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.core.lifecycle import Book
from portguard.core.limits import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from portguard.core.guests import Shape
    from portguard.core.lifecycle import Alert
    from portguard.model.containment import Closing, Order, Pause
    from portguard.model.exposure import Exposure
    from portguard.model.finding import Kind
    from portguard.model.judgement import Judgement
    from portguard.model.policy import Mode, Policy, ServiceKey
    from portguard.model.ruleset import Actor, RulesetChange, Table
    from portguard.model.snapshot import Connection, Snapshot
    from portguard.model.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened, on both clocks."""

    monotonic: float
    when: datetime


class Purpose(StrEnum):
    """What a transaction is for."""

    MEND = "mend"
    ARM = "arm"
    """Start the dead man before the closing rules."""
    CONFIRM = "confirm"
    """Let it run for ever."""
    DISARM = "disarm"


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
    purpose: Purpose = Purpose.MEND


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
    checkpoint: Callable[[], None] | None = None
    """Called now and then while all of this is judged. By raising it ends the step, which is then as if it had never begun."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A person orders a mode. The world was looked at for it."""

    at: Moment
    mode: Mode
    confirm_within: float
    """Seconds that the dead man is to run, where the mode closes anything."""
    snapshot: Snapshot
    sensitive: Mapping[int, Exposure]
    own: tuple[Connection, ...] = ()
    """Connections by which that person came in; none at the console."""
    others: tuple[Connection, ...] = ()
    """Connections of other administrators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A person who was let in says that what is closed is closed rightly."""

    at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """A person wants the mode before this one back."""

    at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person wants nothing to be written for a while."""

    at: Moment
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person ends the pause."""

    at: Moment


Request = Ordered | Confirmed | RolledBack | Paused | Resumed
"""What persons ask for; each is answered by one Reply."""

Event = PolicyLoaded | OwnTableSeen | WorldSeen | HealDone | HealRefused | Request

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Write down what has to outlive this process: the order, and the pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer the person who asked."""

    ok: bool
    text: str
    details: tuple[str, ...] = ()
    """Further lines: what is closed, what was refused and why."""


Command = Run | Tell | Look | Publish | Keep | Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was ordered, and how far it has come. Moments are monotonic seconds."""

    order: Order | None = None
    """None: the configuration alone says the mode."""
    pause: Pause | None = None
    recalled: bool = False
    """The order is a former process's, and has not been held against the kernel yet."""
    closing: Closing | None = None
    """What is to be closed; None where the mode closes nothing, or it is not worked out yet."""
    closed_before: Closing | None = None
    """Ports that a former process had closed for good: after a boot their services may start later than the first look."""
    disarms_at: float | None = None
    """When the kernel's dead man ends the closing; None: it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that the daemon remembers from one event to the next."""

    configured: Policy | None = None
    """The policy as the configuration has it."""
    policy: Policy | None = None
    """The policy in force: its mode may be one that was ordered."""
    standing: Standing = Standing()
    desired: Table | None = None
    """The own table as it must be; None while nothing may be written."""
    own_known: bool = False
    """The table of our name is ours: seen with our marks, or made by us."""
    renewed: bool = True
    """The own table as it must be is another one than before, and the kernel has not been given it yet."""
    renewal: str = ""
    """What is new in it, where that is worth a word: the ports that are closed now."""
    own_since: float | None = None
    """Monotonic time since which the own table is known to stand: since then connections are tracked."""
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
