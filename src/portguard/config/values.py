"""Read single values of the configuration: networks, ports, durations, names.

Each function takes what TOML or the environment gave and returns the value, or raises ValueError with a message for
an administrator. Numbers may be texts, because the environment has nothing else.
"""

from __future__ import annotations

import ipaddress
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.model.net import IPNetwork, PortRange
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_PORTS = re.compile(r"[0-9]+(-[0-9]+)?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(service|socket|scope|slice)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

LONGEST = 30 * 86400.0
"""Seconds. Nothing in portguard waits longer than 30 days."""


def show(value: object) -> str:
    """Spell a value as it can be quoted in a message, cut to a readable length."""
    try:
        quoted = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:
        return "a number of too many digits"
    return quoted if len(quoted) <= 60 else f"{quoted[:57]}..."


def text(value: object) -> str:
    """Read a text that says something and has no control characters."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    if _UNPRINTABLE.search(value):
        raise ValueError(f"{show(value)} has control characters")
    return value


def choice(value: object, names: Iterable[str]) -> str:
    """Read one of several words."""
    known = list(names)
    if value not in known:
        near = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{show(value)} is none of {', '.join(known)}{near}")
    return str(value)


def network(value: object) -> IPNetwork:
    """Read a network or a single address."""
    if not isinstance(value, str):
        raise ValueError(f'{show(value)} is not a network: write it as text, such as "10.1.0.0/16"')  # noqa: TRY004
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        raise ValueError(f"{show(value)} is neither an address nor a network such as 10.1.0.0/16") from None
    net = interface.network
    if "%" in value:
        raise ValueError(f"{show(value)} names an interface: write the address alone")
    if interface.ip != net.network_address:
        raise ValueError(
            f"{value} has host bits set: the network is {net}, the single address {interface.ip}"
        )
    if isinstance(net, ipaddress.IPv6Network) and net.subnet_of(_MAPPED):
        plain = ipaddress.IPv4Network((int(net.network_address) & 0xFFFFFFFF, net.prefixlen - 96))
        raise ValueError(f"{value} is IPv4 written as IPv6: write {spell(plain)}")
    return net


def spell(net: IPNetwork) -> str:
    """Spell a network as people do: a single address without its prefix length."""
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def overlaps(nets: Sequence[IPNetwork | None]) -> list[tuple[int, int]]:
    """Find the entries of a list that overlap an earlier one, as pairs (entry, earlier entry)."""
    rows = [
        (net.version, int(net.network_address), -int(net.broadcast_address), number)
        for number, net in enumerate(nets)
        if net is not None
    ]
    pairs: list[tuple[int, int]] = []
    around: tuple[int, int, int] | None = None
    # Two networks either nest or are disjoint, so it is enough to remember the widest one that is still open.
    for version, first, negative_last, number in sorted(rows):
        if around is not None and around[0] == version and first <= around[1]:
            pairs.append((max(number, around[2]), min(number, around[2])))
        else:
            around = (version, -negative_last, number)
    return sorted(pairs)


def ports(value: object) -> PortRange:
    """Read a port or a range of ports, ``8001`` or ``"20-21"``."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number and not (isinstance(value, str) and _PORTS.fullmatch(value)):
        raise ValueError(f"{show(value)} is neither a port nor a range of ports such as 20-21")
    return PortRange.parse(str(value))


def seconds(value: object, *, least: float) -> float:
    """Read a duration: a number of seconds, or a text such as ``10m`` or ``1h 30m``."""
    found = _plain_seconds(value)
    if found is None or not math.isfinite(found):
        raise ValueError(
            f'{show(value)} is not a duration: write seconds, or a text such as "10m" or "1h 30m"'
        )
    if not least <= found <= LONGEST:
        raise ValueError(f"{show(value)} does not lie between {least:g} s and 30 d")
    return found


def _plain_seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(min(value, 2 * LONGEST)) if isinstance(value, int) else value
    if not isinstance(value, str):
        return None
    word = value.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", word):
        return float(word)
    parts = _DURATION.findall(word)
    if not parts or not re.fullmatch(f"(?:{_DURATION.pattern})+", word):
        return None
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def count(value: object, *, least: int, most: int) -> int:
    """Read a whole number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{show(value)} is not a whole number")  # noqa: TRY004
    if not least <= value <= most:
        raise ValueError(f"{value} does not lie between {least} and {most}")
    return value


def path(value: object) -> Path:
    """Read an absolute path."""
    word = text(value)
    if not word.startswith("/"):
        raise ValueError(f"{show(value)} is not an absolute path")
    return Path(word)


def unit(value: object) -> str:
    """Read the name of a systemd unit that can hold a listener."""
    word = text(value)
    if not _UNIT.fullmatch(word):
        raise ValueError(
            f"{show(value)} is not the full name of a unit, such as prometheus-node-exporter.service"
        )
    return word


def pattern(value: object) -> str:
    """Read a pattern of interface names."""
    word = text(value)
    if re.search(r"[\s/]", word):
        raise ValueError(f"{show(value)} is not a pattern of interface names, such as br-printum*")
    return word


def zone_name(value: object) -> str:
    """Read the name of a zone of this site's own."""
    if not isinstance(value, str) or not _ZONE.fullmatch(value):
        raise ValueError(
            f"{show(value)} is not a name for a zone: letters, digits, dots and dashes, 64 at most"
        )
    return value
