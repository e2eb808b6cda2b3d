"""Typed differences between policy and snapshot, with evidence and a stable id."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.net import Transport


class Severity(StrEnum):
    """How bad it is, worst first; ``info`` is for the heartbeat only."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    INFO = "info"

    @property
    def priority(self) -> int:
        """Syslog priority (RFC 5424): 2 critical to 6 informational."""
        return {"critical": 2, "error": 3, "warning": 4, "notice": 5, "info": 6}[self.value]


class Kind(StrEnum):
    """Every kind of event that portguard reports; the promised names of ``docs/events.md``."""

    SERVICE_EXPOSED = "service_exposed"
    RESERVED_ADDRESS_IN_USE = "reserved_address_in_use"
    HEAL_FAILED = "heal_failed"
    HEAL_INEFFECTIVE = "heal_ineffective"
    HEAL_SUSPENDED = "heal_suspended"
    REQUIRED_PORT_BLOCKED = "required_port_blocked"
    LISTENER_MISSING = "listener_missing"
    VISIBILITY_DEGRADED = "visibility_degraded"
    LISTENER_UNEXPECTED = "listener_unexpected"
    FLOW_WIDER = "flow_wider"
    LISTENER_LOOPBACK_ONLY = "listener_loopback_only"
    RULE_REMOVED = "rule_removed"
    RULE_ALTERED = "rule_altered"
    RULE_HEALED = "rule_healed"
    ROLE_UNDEFINED = "role_undefined"
    ZONE_UNDEFINED = "zone_undefined"
    MODE_CHANGED = "mode_changed"
    CONFIG_CHANGED = "config_changed"
    CONFIG_REJECTED = "config_rejected"
    HEARTBEAT = "heartbeat"


class Verdict(StrEnum):
    """Judgement of a service or of the host."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class ExitCode(IntEnum):
    """Exit codes of every command that judges."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    USAGE = 64
    CONFIG = 78

    @classmethod
    def of(cls, verdict: Verdict) -> ExitCode:
        """Map a verdict to the exit code that promises it."""
        return cls[verdict.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One typed difference, with evidence. Two findings about the same thing have the same id, whenever seen."""

    kind: Kind
    severity: Severity
    message: str
    """One sentence for an administrator."""
    subject: str = ""
    """What it is about where the fields below do not say it: a rule's key, a gap's scope, a zone's name."""
    transport: Transport | None = None
    address: str | None = None
    """Address of the listener, or the reserved address."""
    address_class: str | None = None
    """``wildcard``, ``loopback`` or ``address``: the part of the address that goes into the id."""
    port: int | None = None
    flow: str | None = None
    zone: str | None = None
    unit: str | None = None
    process: str | None = None
    pid: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able facts that prove it: the deciding rule, the address, the actor."""

    @property
    def id(self) -> str:
        """16 hex digits over what it is about: no pid, no time, no text."""
        about = (
            self.kind,
            self.transport or "",
            self.address_class or "",
            self.port or "",
            self.unit or "",
            self.flow or "",
            self.zone or "",
            self.subject,
        )
        import hashlib  # noqa: PLC0415 - 4 ms that `status`, which makes no findings, need not pay

        return hashlib.sha256("\x1f".join(map(str, about)).encode()).hexdigest()[:16]
