"""Sockets that accept traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.net import IPAddress, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a socket, as far as it could be found out. For attribution, never for authorisation."""

    unit: str | None = None
    """systemd unit, e.g. ``redis-server.service``; None where it could not be told."""
    process: str | None = None
    """Name of the process (comm)."""
    pid: int | None = None
    exe: str | None = None
    """Path of the executable."""
    cmdline: tuple[str, ...] = ()
    """Arguments; may hold secrets: redact before it leaves the daemon."""
    parent: str | None = None
    """Name of the parent process as of the moment when the listener was first seen."""
    loginuid: int | None = None
    """Login user of the session that it was started in; None for what no login started."""
    login: str | None = None
    """Name of the login user."""
    session: str | None = None
    """Login session, as ``loginctl`` numbers them."""
    remote: str | None = None
    """Host from which that user logged in."""
    package: str | None = None
    """Debian package that the executable belongs to."""

    @property
    def origin(self) -> dict[str, str | int]:
        """What is known of where the process comes from, as evidence of a finding about it; names of the journal's fields."""
        known = {
            "parent": self.parent,
            "package": self.package,
            "loginuid": self.loginuid,
            "login": self.login,
            "session": self.session,
            "remote": self.remote,
        }
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        """Spell who it is for a sentence: ``redis-server, cache.service, started by bob from 10.9.0.5``; may be empty."""
        parts = [part for part in (self.process, self.unit) if part]
        user = self.login or (f"login uid {self.loginuid}" if self.loginuid is not None else None)
        if user:
            parts.append(f"started by {user}" + (f" from {self.remote}" if self.remote else ""))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A bound socket that accepts traffic: TCP in state LISTEN, or UDP without a peer."""

    transport: Transport
    address: IPAddress
    port: int
    v6only: bool = True
    """Only for IPv6: False means that it serves IPv4 as well (a dual-stack ``[::]`` socket)."""
    interface: int | None = None
    """Index of the interface it is bound to (SO_BINDTODEVICE), if any."""
    uid: int | None = None
    inode: int = 0
    cookie: int = 0
    """The kernel's own identity of the socket (INET_DIAG cookie); never reused."""
    cgroup: int = 0
    """Id of the cgroup that created it, which is the inode of the cgroup's directory."""
    owner: Owner = Owner()

    @property
    def loopback(self) -> bool:
        """Bound to an address that only this host can reach."""
        # A JVM binds to 127.0.0.1 as ::ffff:127.0.0.1, which Python calls loopback from 3.13 on.
        mapped = getattr(self.address, "ipv4_mapped", None)
        return (mapped or self.address).is_loopback

    @property
    def wildcard(self) -> bool:
        """Bound to every address of the host."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        return (mapped or self.address).is_unspecified

    @property
    def versions(self) -> tuple[int, ...]:
        """IP versions it serves: a dual-stack ``[::]`` socket serves IPv4 too."""
        if self.address.version == 4:
            return (4,)
        mapped = getattr(self.address, "ipv4_mapped", None)
        if mapped is not None:
            return (4,)
        return (4, 6) if self.wildcard and not self.v6only else (6,)

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}/{self.transport}"
