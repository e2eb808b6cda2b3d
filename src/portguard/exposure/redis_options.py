"""What Redis was told: its arguments and its configuration file, as far as they decide who may talk to it.

Only whether there is a password is looked at; its value is not kept. A file may say something else than what is in force
(``CONFIG SET``), so what it says is told with its name.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portguard.model.exposure import Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FILE = 256 * 1024
"""Bytes of a file; the one that Redis ships has 110,000."""
_FILES = 8
_LINE = 4096
_NAMES = frozenset(
    {
        "include", "aclfile", "port", "tls-port", "cluster-enabled", "cluster-port", "tls-cluster", "requirepass", "user",
        "tls-auth-clients", "protected-mode", "bind",
    }
)  # fmt: skip
"""Settings that are looked at."""


@dataclass(slots=True, kw_only=True)
class RedisOptions:
    """Settings in force as far as they could be read; the defaults are Redis' own."""

    port: int = 6379
    tls_port: int = 0
    cluster: bool = False
    cluster_port: int = 0
    """0: ten thousand above the client port."""
    cluster_tls: bool = False
    sentinel: bool = False
    password: bool = False
    certificates: bool = True
    """Clients of the TLS port must show one."""
    protected: bool = True
    bound: bool = False
    """Addresses are named: versions before 7.0 took that as leave to be open."""
    complete: bool = True
    """Every file that is named could be read."""
    default_user: bool | None = None
    """What the rules of the user that nobody has to log in as say about a password; they outweigh ``requirepass``."""
    places: list[str] = field(default_factory=list)

    @property
    def bus(self) -> int | None:
        """Port on which the nodes of the cluster talk."""
        if not self.cluster:
            return None
        return self.cluster_port or (self.tls_port if self.cluster_tls else self.port) + 10_000

    @property
    def ports(self) -> frozenset[int]:
        """Every port that it listens on."""
        return frozenset({self.port, self.tls_port, self.bus or 0} - {0})

    def protection(self, port: int, *, honours_bind: bool) -> Protection:
        """What guards a port. ``honours_bind``: protected mode holds where addresses are named, too."""
        if port == self.bus:
            return Protection.CERTIFICATE if self.cluster_tls else Protection.NONE
        if not self.complete:
            return Protection.UNKNOWN
        tls = port == self.tls_port
        if tls and self.certificates:
            return Protection.CERTIFICATE
        if self.password if self.default_user is None else self.default_user:
            return Protection.PASSWORD_TLS if tls else Protection.PASSWORD
        if self.protected:
            return Protection.REFUSES_STRANGERS if honours_bind or not self.bound else Protection.UNKNOWN
        return Protection.TLS if tls else Protection.NONE


def options_of(
    arguments: Sequence[str], read: Callable[[str], str | None], *, sentinel: bool
) -> RedisOptions:
    """Read what the arguments say (without the program's name), and every file that they name."""
    reader = _Reader(read, sentinel=sentinel or "--sentinel" in arguments)
    reader.arguments(arguments)
    return reader.options


class _Reader:
    """Applies settings in their order: the last one counts, as in Redis."""

    def __init__(self, read: Callable[[str], str | None], *, sentinel: bool) -> None:
        self.options = RedisOptions(sentinel=sentinel)
        if sentinel:
            self.options.port, self.options.protected = 26379, False
        self._read = read
        self._files = 0

    def arguments(self, arguments: Sequence[str]) -> None:
        given = list(arguments)
        if given and not given[0].startswith("--"):
            if given[0] == "-":
                self.options.complete = False  # The configuration came through standard input.
            else:
                self.file(given[0])
            del given[0]
        name: str | None = None
        values: list[str] = []
        for word in [*given, "--"]:
            if not word.startswith("--"):
                values.append(word)
                continue
            if name:
                self._set(name, values)
            name, values = word[2:], []
        if given:
            self.options.places.append("arguments")

    def file(self, path: str) -> None:
        self._files += 1
        text = self._read(path) if self._files <= _FILES and not set(path) & set("*?[") else None
        if text is None:
            self.options.complete = False
            return
        self.options.places.append(path)
        for name, values in _lines(text):
            if values is None:
                self.options.complete = False
            else:
                self._set(name, values)

    def _set(self, name: str, values: list[str]) -> None:
        out = self.options
        first = values[0] if values else ""
        on = first.lower() == "yes"
        match name.lower():
            case "include" | "aclfile":
                if first and name.lower() == "include":
                    self.file(first)
                elif first:
                    self._users(first)
            case "port":
                out.port = _number(first, out.port)
            case "tls-port":
                out.tls_port = _number(first, out.tls_port)
            case "cluster-enabled":
                out.cluster = on
            case "cluster-port":
                out.cluster_port = _number(first, out.cluster_port)
            case "tls-cluster":
                out.cluster_tls = on
            case "requirepass":
                out.password = bool(first)
            case "user" if first == "default":
                self._default_user(values[1:])
            case "tls-auth-clients":
                out.certificates = on
            case "protected-mode":
                out.protected = on
            case "bind":
                out.bound = bool(values)
            case _:
                pass

    def _users(self, path: str) -> None:
        """Read a file of users: the default user is who a stranger is."""
        text = self._read(path)
        if text is None:
            self.options.complete = False
            return
        for name, values in _lines(text):
            if name == "user" and values and values[0] == "default":
                self._default_user(values[1:])

    def _default_user(self, rules: Iterable[str]) -> None:
        """Apply the rules of the user that a stranger is: without a password only while ``on`` and ``nopass``."""
        on = nopass = False
        for rule in rules:
            if rule in ("on", "off"):
                on = rule == "on"
            elif rule == "reset":
                on = nopass = False
            elif rule == "nopass":
                nopass = True
            elif rule == "resetpass" or rule[:1] in (">", "#"):
                nopass = False
        self.options.default_user = not (on and nopass)


def _lines(text: str) -> Iterator[tuple[str, list[str] | None]]:
    """Give each setting that is looked at with its values; None for values that cannot be read."""
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.lower() not in _NAMES:
            continue
        try:
            yield name, shlex.split(rest) if len(rest) <= _LINE else None
        except ValueError:
            yield name, None


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else otherwise
