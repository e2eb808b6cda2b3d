"""What a JVM tells its tools about its JMX agents: the counters of its hsperfdata file.

The truth about agents, however they were started: by options, the environment, a file, or ``jcmd`` at run time. The
layout is that of ``src/hotspot/share/runtime/perfMemory.hpp`` of OpenJDK: a prologue of 32 bytes, then entries that each
give their own length. The file belongs to the JVM's user, so every number in it is checked before it is used.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from dataclasses import dataclass

_MAGIC = b"\xca\xfe\xc0\xc0"
_ENTRIES = 20_000
"""More than any JVM has (some 250): a bound for a file that is not one."""
_STRING = ord("B")
_LONGEST = 4096
"""Bytes of a value that are kept; a JVM writes 1,024 at most for most of them."""
_SERVER = re.compile(r"sun\.management\.JMXConnectorServer\.(\d{1,6})\.(\w+)")
_LOCAL = "sun.management.JMXConnectorServer.address"
_ARGUMENTS = "java.rt.vmArgs"
_REGISTRY = re.compile(r"^service:jmx:rmi:/.*:(\d{1,5})/jmxrmi$")
_STUB = "/stub/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAgent:
    """One JMX agent for other hosts. What its counters do not say is None."""

    port: int | None
    """Of its registry."""
    authenticate: bool | None
    tls: bool | None
    certificate: bool | None
    """Clients have to show one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfData:
    """What the counters say."""

    agents: tuple[RemoteAgent, ...]
    local_port: int | None
    """Port of the connector for this host alone."""
    arguments: str
    """Options of the JVM, of the command line and of the environment; a JVM cuts them after 1,024 characters."""


def parse(data: bytes) -> PerfData | None:
    """Read the counters; None for what is not a complete hsperfdata file (a JVM that is starting writes it bit by bit)."""
    strings = _strings(data)
    if strings is None:
        return None
    servers: dict[str, dict[str, str]] = {}
    for name, value in strings.items():
        if match := _SERVER.fullmatch(name):
            servers.setdefault(match[1], {})[match[2]] = value
    agents = []
    for _, said in sorted(servers.items()):
        if "remoteAddress" in said:
            port = _REGISTRY.match(said["remoteAddress"])
            agents.append(
                RemoteAgent(
                    port=_port(port[1]) if port else None,
                    authenticate=_truth(said.get("authenticate")),
                    tls=_truth(said.get("ssl")),
                    certificate=_truth(said.get("sslNeedClientAuth")),
                )
            )
    return PerfData(
        agents=tuple(agents),
        local_port=_local_port(strings.get(_LOCAL, "")),
        arguments=strings.get(_ARGUMENTS, ""),
    )


def _strings(data: bytes) -> dict[str, str] | None:
    """Every counter that is a string; of two with one name the first."""
    if len(data) < 32 or data[:4] != _MAGIC or data[4] not in (0, 1):
        return None
    order = "<" if data[4] else ">"
    accessible = data[7]
    offset, count = struct.unpack_from(f"{order}ii", data, 24)
    if not accessible or not 0 <= count <= _ENTRIES:
        return None
    out: dict[str, str] = {}
    for _ in range(count):
        if not 32 <= offset <= len(data) - 20:
            return None
        length, name_at, items = struct.unpack_from(f"{order}iii", data, offset)
        kind, value_at = data[offset + 12], struct.unpack_from(f"{order}i", data, offset + 16)[0]
        end = offset + length
        if length < 20 or end > len(data):
            return None
        if kind == _STRING and items > 0:
            if not (20 <= name_at < length and 20 <= value_at <= length and items <= length - value_at):
                return None
            name = data[offset + name_at : end].partition(b"\0")[0][:_LONGEST]
            value = data[offset + value_at : offset + value_at + items].partition(b"\0")[0][:_LONGEST]
            out.setdefault(name.decode("ascii", "replace"), value.decode("utf-8", "replace"))
        offset = end
    return out


def _truth(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get(text or "")


def _port(text: str) -> int | None:
    return int(text) if 0 < int(text) <= 65535 else None


def _local_port(address: str) -> int | None:
    """Port of the local connector: it stands in the stub, a serialised object in base64, behind the name of its class."""
    _, _, encoded = address.partition(_STUB)
    try:
        stub = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    for name, skipped in ((b"\x00\x0bUnicastRef2", 1), (b"\x00\x0aUnicastRef", 0)):
        _, found, rest = stub.partition(name)
        rest = rest[skipped:]  # UnicastRef2 says first whether a socket factory follows.
        if found and len(rest) >= 2:
            (length,) = struct.unpack_from(">H", rest)
            if len(rest) >= length + 6:
                (port,) = struct.unpack_from(">i", rest, length + 2)
                return port if 0 < port <= 65535 else None
    return None
