"""What one look at the host concludes: a verdict for each service, and the findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.finding import Finding, Verdict
    from portguard.model.listener import Listener
    from portguard.model.policy import Manager, Service
    from portguard.model.ruleset import RuleRef
    from portguard.model.snapshot import Gap


class ListenerState(StrEnum):
    """Whether somebody answers on the port."""

    LISTENING = "listening"
    LOOPBACK = "loopback"
    """Only on loopback."""
    ABSENT = "absent"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "n/a"


class PathState(StrEnum):
    """Whether the zone gets through."""

    OPEN = "open"
    BLOCKED = "blocked"
    PARTIAL = "partial"
    """Some of the zone's addresses get through, others do not."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVerdict:
    """Judgement of one service."""

    service: Service
    listener: ListenerState
    socket: Listener | None
    """The socket that serves it; the widest one where there are several."""
    path: PathState
    by: RuleRef | None
    """The rule that decides against it, or for it where it is open."""
    reason: str | None
    """Why a state is unknown."""
    verdict: Verdict
    by_default: bool = False
    """What shuts it is a default, which a heal has to open. False: nothing shuts it, or somebody on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Everything concluded from one snapshot."""

    services: tuple[ServiceVerdict, ...]
    findings: tuple[Finding, ...]
    """Worst first."""
    gaps: tuple[Gap, ...]
    manager: Manager
    verdict: Verdict
    summary: str
    """One sentence."""
