"""What a listener speaks that must never be exposed, and how it is protected against those who can reach it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Application(StrEnum):
    """What stands behind a socket."""

    REDIS = "redis"
    """Redis, or what speaks its protocol: Valkey, KeyDB."""
    REDIS_SENTINEL = "redis-sentinel"
    REDIS_CLUSTER = "redis-cluster"
    """The bus on which the nodes of a Redis cluster talk; neither password nor protected mode guards it."""
    JMX = "jmx"
    """The registry at which clients of a JMX agent begin."""
    JMX_RMI = "jmx-rmi"
    """The server that a JMX agent's registry sends its clients to."""
    JMX_LOCAL = "jmx-local"
    """The connector of an agent for the same host: its port is bound to every address, and strangers are refused."""
    JDWP = "jdwp"
    """The debugger of a JVM: whoever connects runs code."""
    JVM = "jvm"
    """A JVM that does not tell what this socket is for: it may be any of the three above, or a web server."""


class Protection(StrEnum):
    """What stands between somebody who connects and the application."""

    NONE = "none"
    TLS = "tls"
    """Encrypted, but open to everybody: no password, and no certificate is asked of a client."""
    PASSWORD = "password"  # noqa: S105 - a kind of protection, not a password
    PASSWORD_TLS = "password+tls"  # noqa: S105 - as above
    CERTIFICATE = "certificate"
    """A client must show a certificate."""
    REFUSES_STRANGERS = "refuses-strangers"
    """The application ends connections from other hosts: Redis' protected mode, JMX's local connector."""
    UNKNOWN = "unknown"

    @property
    def strength(self) -> int:
        """Sorts by how much it keeps out: 0 is nobody. What is not known keeps out as little as is known."""
        return _WEAKEST_FIRST.index(self)


_WEAKEST_FIRST = (
    Protection.NONE,
    Protection.UNKNOWN,
    Protection.TLS,
    Protection.PASSWORD,
    Protection.PASSWORD_TLS,
    Protection.CERTIFICATE,
    Protection.REFUSES_STRANGERS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What is known of one socket, by looking at its process alone."""

    application: Application
    protection: Protection = Protection.UNKNOWN
    evidence: tuple[str, ...] = ()
    """Where it was read: ``process title``, ``hsperfdata``, ``arguments``. For people; holds no secret."""

    @property
    def dangerous(self) -> bool:
        """Whether it is one of those that must never be exposed, and would answer a stranger (or may, as far as is known)."""
        return (
            self.application not in (Application.JVM, Application.JMX_LOCAL)
            and self.protection is not Protection.REFUSES_STRANGERS
        )
