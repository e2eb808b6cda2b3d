"""Where the person at the keyboard is connected from: the SSH connection that this process descends from."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.net import IPAddress

_PROC = Path("/proc")
_VARIABLE = "SSH_CONNECTION"
_GENERATIONS = 32
_LONGEST = 1 << 18
"""Bytes of an environment that are looked at."""


class Connection(NamedTuple):
    """The two ends of an SSH connection, as far as they matter to a firewall."""

    client: IPAddress
    port: int
    """Port of this host that it came in on."""


def connection(
    environ: Mapping[str, str] = os.environ, pid: int | None = None, proc: Path = _PROC
) -> Connection | None:
    """Find the connection: in the environment, or in that of a parent, because sudo and su leave the variable out.

    None on a console, and where the parents' environments may not be read.
    """
    found = parse(environ.get(_VARIABLE, ""))
    pid = os.getppid() if pid is None else pid
    for _ in range(_GENERATIONS):
        if found is not None or pid <= 1:
            break
        found = parse(variable(proc / str(pid)))
        pid = _parent(proc / str(pid))
    return found


def parse(value: str) -> Connection | None:
    """Read ``client port server port``; None where it is anything else."""
    words = value.split()
    try:
        client, _, _, port = words
        address = ipaddress.ip_address(client)
        number = int(port)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Connection(address, number) if 1 <= number <= 65535 else None


def variable(process: Path) -> str:
    """The variable as a process was started with it; empty when it is not there or may not be read."""
    try:
        with (process / "environ").open("rb") as file:
            content = file.read(_LONGEST)
    except OSError:
        return ""
    for item in content.split(b"\0"):
        name, _, value = item.partition(b"=")
        if name == _VARIABLE.encode():
            return value.decode("ascii", errors="replace")
    return ""


def _parent(process: Path) -> int:
    """Number of the parent; 0 when the process is gone."""
    try:
        status = (process / "status").read_text(errors="replace")
    except OSError:
        return 0
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "PPid" and value.strip().isdecimal():
            return int(value)
    return 0
