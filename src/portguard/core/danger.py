"""How bad an exposed Redis, JMX or debugger is: by who reaches it, what protects it, and whether it is documented.

``docs/exposure.md`` has the same table; a test holds the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping


class Row(NamedTuple):
    """Severities of one kind of protection."""

    undocumented: Severity
    """Others reach it, and nobody documents the port."""
    wider: Severity
    """Others than those it is documented for reach it."""
    unsure: Severity
    """Others may reach it: a part of the path could not be evaluated."""


_OPEN = Row(Severity.CRITICAL, Severity.CRITICAL, Severity.ERROR)
_STRONG = Row(Severity.ERROR, Severity.NOTICE, Severity.WARNING)

TABLE: Mapping[Protection, Row] = {
    Protection.NONE: _OPEN,
    # Never taken for protected: what could not be read may be nothing.
    Protection.UNKNOWN: _OPEN,
    # Nobody listens in, and everybody is let in.
    Protection.TLS: _OPEN,
    # A password that travels unencrypted, and can be tried a thousand times a second.
    Protection.PASSWORD: Row(Severity.ERROR, Severity.ERROR, Severity.ERROR),
    # No worse than any other listener: an error where nobody documents it.
    Protection.PASSWORD_TLS: _STRONG,
    Protection.CERTIFICATE: _STRONG,
    # One setting away from being open.
    Protection.REFUSES_STRANGERS: Row(Severity.WARNING, Severity.NOTICE, Severity.NOTICE),
}

TITLES: Mapping[Application, str] = {
    Application.REDIS: "Redis",
    Application.REDIS_SENTINEL: "Redis Sentinel",
    Application.REDIS_CLUSTER: "Redis cluster bus",
    Application.JMX: "JMX",
    Application.JMX_RMI: "JMX RMI",
    Application.JMX_LOCAL: "JMX connector for this host",
    Application.JDWP: "JDWP (Java debugger)",
    Application.JVM: "JVM",
}

_WORDS: Mapping[Protection, str] = {
    Protection.NONE: "without a password",
    Protection.UNKNOWN: "(whether it asks for a password cannot be told)",
    Protection.TLS: "with TLS and without a password",
    Protection.PASSWORD: "with a password and without TLS",
    Protection.PASSWORD_TLS: "with a password and TLS",
    Protection.CERTIFICATE: "that asks for a client's certificate",
    Protection.REFUSES_STRANGERS: "that refuses strangers by itself",
}


def severity(protection: Protection, *, reachable: bool, documented: bool) -> Severity:
    """Give the severity of something that others reach, or (not ``reachable``) may reach."""
    row = TABLE[protection]
    if not reachable:
        return row.unsure
    return row.wider if documented else row.undocumented


def described(exposure: Exposure) -> str:
    """Name it with its protection: ``Redis without a password``."""
    return f"{TITLES[exposure.application]} {_WORDS[exposure.protection]}"
