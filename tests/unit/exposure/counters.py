"""Make hsperfdata files as a JVM lays them out, and as it never would."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL_33979 = (
    "service:jmx:rmi://127.0.0.1/stub/rO0ABXNyAC5qYXZheC5tYW5hZ2VtZW50LnJlbW90ZS5ybWkuUk1JU2VydmVySW1wbF9TdHViAAAAAA"
    "AAAAICAAB4cgAaamF2YS5ybWkuc2VydmVyLlJlbW90ZVN0dWLp/tzJi+FlGgIAAHhyABxqYXZhLnJtaS5zZXJ2ZXIuUmVtb3RlT2JqZWN002G0"
    "kQxhMx4DAAB4cHc0AAtVbmljYXN0UmVmMgAACTEyNy4wLjAuMQAAhLuYzcXBBGvHAEkBriQAAAGh/fW5XIACAHg="
)
"""What a JVM 17 wrote while its local connector listened on port 33979."""


def hsperfdata(counters: Mapping[str, str], *, big: bool = False, accessible: int = 1) -> bytes:
    """Lay out counters; a long beside each string, as a JVM has."""
    order = ">" if big else "<"
    entries = [_string(order, name, value) for name, value in counters.items()]
    entries.insert(len(entries) // 2, _long(order, "sun.rt.createVmBeginTime", 1_700_000_000_000))
    used = 32 + sum(map(len, entries))
    prologue = struct.pack(
        f"{order}4sBBBBiiqii",
        b"\xca\xfe\xc0\xc0",
        0 if big else 1,
        2,
        0,
        accessible,
        used,
        0,
        0,
        32,
        len(entries),
    )
    return (prologue + b"".join(entries)).ljust(32768, b"\0")


def _string(order: str, name: str, value: str) -> bytes:
    return _entry(order, name, b"B", value.encode() + b"\0", len(value.encode()) + 1)


def _long(order: str, name: str, value: int) -> bytes:
    return _entry(order, name, b"J", struct.pack(f"{order}q", value), 0)


def _entry(order: str, name: str, kind: bytes, value: bytes, items: int) -> bytes:
    label = name.encode() + b"\0"
    start = (20 + len(label) + 7) & ~7
    length = (start + len(value) + 7) & ~7
    head = struct.pack(f"{order}iii", length, 20, items) + kind + b"\0\1\3" + struct.pack(f"{order}i", start)
    return (head + label).ljust(start, b"\0") + value.ljust(length - start, b"\0")


def agent(
    port: int, *, number: int = 0, password: str = "true", tls: str = "true", certificate: str = "false"
) -> dict[str, str]:
    """Counters of one JMX agent for other hosts."""
    begin = f"sun.management.JMXConnectorServer.{number}"
    return {
        f"{begin}.remoteAddress": f"service:jmx:rmi:///jndi/rmi://host.example:{port}/jmxrmi",
        f"{begin}.authenticate": password,
        f"{begin}.ssl": tls,
        f"{begin}.sslRegistry": "false",
        f"{begin}.sslNeedClientAuth": certificate,
    }
