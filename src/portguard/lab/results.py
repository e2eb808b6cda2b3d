"""What a step did, saw and measured, as values; ``docs/lab.md`` promises their JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One event of the daemon."""

    kind: str
    state: str
    severity: str
    message: str
    after_ms: float
    """Milliseconds from the blow to the line on the daemon's standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """One heal."""

    what: str
    took_ms: float
    """What the daemon says: from the kernel's announcement to its own commit."""
    measured_ms: float | None
    """What the lab saw from outside: between the kernel's announcements of the two commits."""
    actor: dict[str, Any] | None
    """Who did what had to be healed, as the daemon says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One client's real connection at three moments: ``open``, ``refused`` or ``dropped``."""

    client: str
    zone: str
    flow: str
    transport: str
    port: int
    version: int
    before: str
    struck: str
    """After the blow; the worst outcome of all attempts until the heal, where there is one."""
    after: str
    """After the heal; where nothing is healed, after the world was put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a client noticed that connected every two milliseconds."""

    client: str
    transport: str
    port: int
    attempts: int
    lost: int
    dark_ms: float
    """Milliseconds from the first lost attempt to the first good one after the last lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Every documented connection, tried once more."""

    tried: int
    shut: tuple[str, ...]

    @property
    def open(self) -> int:
        """How many were open."""
        return self.tried - len(self.shut)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One step of the scenario."""

    name: str
    title: str
    did: tuple[str, ...] = ()
    """Commands and deeds of the blow."""
    detected: tuple[Detection, ...] = ()
    healed: tuple[Healing, ...] = ()
    connections: tuple[Connection, ...] = ()
    outage: Outage | None = None
    sweep: Sweep | None = None
    resolved: tuple[str, ...] = ()
    """Kinds of findings that ended when the world was put back."""
    skipped: str | None = None
    """Why the step was not played: it makes no sense for the role."""
    problems: tuple[str, ...] = ()
    """What was not as it should be; none when the step did what it should."""
    took_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the step did what it should."""
        return not self.problems

    def json(self) -> dict[str, Any]:
        """Spell it as JSON."""
        document = {"ok": self.ok, **asdict(self)}
        if self.sweep is not None:
            document["sweep"]["open"] = self.sweep.open
        return document


@dataclass(slots=True, kw_only=True)
class LabResult:
    """One run of the lab."""

    role: tuple[str, ...]
    listeners: int = 0
    ready_ms: float = 0.0
    """Milliseconds from the daemon's start to READY=1."""
    verdict: str = "unknown"
    """The daemon's verdict before the first step."""
    steps: list[StepResult] = field(default_factory=list)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the steps that did not do what they should."""
        return tuple(step.name for step in self.steps if not step.ok)

    def json(self) -> dict[str, Any]:
        """Spell it as the document that ``portguard lab --json`` prints."""
        return {
            "schema": SCHEMA,
            "ok": not self.failed,
            "role": list(self.role),
            "listeners": self.listeners,
            "ready_ms": round(self.ready_ms, 1),
            "verdict": self.verdict,
            "failed": list(self.failed),
            "steps": [step.json() for step in self.steps],
        }
