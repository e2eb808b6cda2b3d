"""The first bytes that a stranger sends to Redis, to JMX, and to a Java debugger, and what their answers mean. No I/O.

Nothing here asks for data or changes anything: ``PING``, the greeting of RMI and the list of names in its registry, and the
greeting of JDWP.
"""

from __future__ import annotations

import struct

PING = b"PING\r\n"
JRMI = b"JRMI\x00\x02K"
"""Magic, version 2, StreamProtocol (chapter 10 of the Java RMI specification)."""

JDWP = b"JDWP-Handshake"

_ACK = b"N"
_CALL, _RETURN = b"\x50", b"\x51"
_STREAM = b"\xac\xed\x00\x05"
_REGISTRY_HASH = 0x44154DC9D4E63BDF
"""Hash of the interface ``java.rmi.registry.Registry``, as its skeletons check it."""

_STRINGS = b"\x75\x72\x00\x13[Ljava.lang.String;"
_AFTER_STRINGS = 8 + 1 + 2
"""Bytes after the name of an array's class: serial version, flags, no fields."""

_NO_SUPERCLASS = b"\x78\x70"
"""Ends the description of the class, behind what RMI notes of where to load it from: as a rule nothing."""

_MOST = 64
_SHOWN = 80


def registry_list(host: str) -> bytes:
    """Spell what follows the greeting: our own address, and the call ``list()`` of the registry's object."""
    name = host.encode()
    identity = struct.pack(">qiqh", 0, 0, 0, 0)
    call = identity + struct.pack(">iq", 1, _REGISTRY_HASH)
    return (
        struct.pack(">H", len(name))
        + name
        + struct.pack(">i", 0)
        + _CALL
        + _STREAM
        + b"\x77"
        + bytes([len(call)])
        + call
    )


def greeted_by_rmi(answer: bytes) -> bool:
    """Whether an RMI server took the greeting."""
    return len(answer) >= 7 and answer[:1] == _ACK and len(answer) == 3 + int.from_bytes(answer[1:3]) + 4


def registry_names(answer: bytes) -> tuple[str, ...] | None:
    """Read the names bound in a registry; None where the answer is none of a registry."""
    if not answer.startswith(_RETURN + _STREAM):
        return None
    at = answer.find(_STRINGS)
    if at < 0:
        return None
    at = answer.find(_NO_SUPERCLASS, at + len(_STRINGS) + _AFTER_STRINGS)
    if at < 0:
        return None
    at += len(_NO_SUPERCLASS)
    count = int.from_bytes(answer[at : at + 4])
    at += 4
    names: list[str] = []
    for _ in range(min(count, _MOST)):
        if answer[at : at + 1] != b"\x74" or len(answer) < at + 3:
            break
        length = int.from_bytes(answer[at + 1 : at + 3])
        names.append(printable(answer[at + 3 : at + 3 + length]))
        at += 3 + length
    return tuple(names)


def redis_answer(answer: bytes) -> str | None:
    """Name what a line of Redis means: ``open``, ``password``, ``denied`` or ``restricted``; None for any other answer."""
    line = answer.partition(b"\r\n")[0]
    if line.startswith(b"+PONG"):
        return "open"
    if line.startswith((b"-NOAUTH", b"-ERR operation not permitted")):
        return "password"
    if line.startswith(b"-DENIED"):
        return "denied"
    if line.startswith(b"-NOPERM"):
        return "restricted"
    # It is loading, or lost its master: it would answer anybody.
    if line.startswith(
        (b"-LOADING", b"-MASTERDOWN", b"-MISCONF", b"-BUSY", b"-ERR unknown command", b"-ERR max number")
    ):
        return "open"
    return None


def greeting(answer: bytes) -> str | None:
    """Name who speaks first, or answers a line that it does not understand; None for silence and unknown bytes."""
    for begin, name in (
        (b"SSH-", "ssh"),
        (b"HTTP/", "http"),
        (b"220", "ftp or smtp"),
        (b"* OK", "imap"),
        (b"+OK", "pop3"),
    ):
        if answer.startswith(begin):
            return name
    return None


def printable(answer: bytes) -> str:
    """Show the beginning of an answer on one line."""
    line = answer.partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    return "".join(char if char.isprintable() else "?" for char in line)[:_SHOWN]
