"""Addresses that DHCP gave to this host, or that this host gave away, from the files of those who did it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean
from portguard.kernel.bounded import names, read_file
from portguard.model.snapshot import Gap, Lease, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portguard.kernel.bounded import Found

_BLOCK = re.compile(r"lease(?:\s+([0-9.]+))?\s*\{")
_STATEMENT = re.compile(r"(interface|fixed-address|expire|ends|binding state)\s+([^;]*);")
_MOMENT = re.compile(r"\d\s+(\d+)/(\d+)/(\d+)\s+(\d+):(\d+):(\d+)")
_EPOCH = re.compile(r"epoch\s+(\d+)")

_CONNECTION = re.compile(r"internal-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.+)\.lease")
"""NetworkManager's file: the connection's UUID and the interface."""

_FIXED = 236
"""Bytes of a BOOTP packet before its options (RFC 951)."""
_YOUR_ADDRESS = slice(16, 20)
_COOKIE = b"\x63\x82\x53\x63"
_LEASE_TIME = 51
_END, _PAD = 255, 0


def dhclient(file: Found, now: float) -> Iterator[Lease]:
    """Read the file of ISC's dhclient or dhcpd: blocks, of which the last for an interface or an address counts."""
    latest: dict[tuple[str, str], tuple[str, bool, str | None]] = {}
    given = ""
    words: dict[str, str] = {}
    for line in file.content.decode(errors="replace").splitlines():
        text = line.strip()
        if match := _BLOCK.match(text):
            given, words = match[1] or "", {}
        elif match := _STATEMENT.match(text):
            words[match[1]] = match[2].strip()
        elif text == "}":
            interface = words.get("interface", "").strip('"')
            ends = _ends(words.get("ends" if given else "expire", "never"))
            held = words.get("binding state", "active") == "active" and (ends is None or ends > now)
            latest[given, interface] = (given or words.get("fixed-address", ""), held, interface or None)
            given, words = "", {}
    for (given, _), (address, held, holder) in latest.items():
        if held:
            yield Lease(place=file.path, address=address, interface=holder, given=bool(given))


def _ends(text: str) -> float | None:
    """Tell when a lease ends, in seconds since 1970; None when it never does, or in no way that is known."""
    if match := _EPOCH.search(text):
        return float(match[1])
    if match := _MOMENT.search(text):
        try:
            return datetime(*map(int, match.groups()), tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]
        except ValueError:
            return None
    return None


def networkd(file: Found, now: float) -> Iterator[Lease]:
    """Read the file of systemd-networkd, or of NetworkManager's own client, which keeps it after the lease has ended."""
    lines = (line.partition("=") for line in file.content.decode(errors="replace").splitlines())
    words = {key: value.strip() for key, _, value in lines}
    lasts = words.get("LIFETIME", "")
    if "ADDRESS" in words and (not lasts.isdecimal() or file.written + int(lasts) > now):
        match = _CONNECTION.fullmatch(Path(file.path).name)
        yield Lease(place=file.path, address=words["ADDRESS"], interface=match and match[1])


def dhcpcd(file: Found, now: float) -> Iterator[Lease]:
    """Read the file of dhcpcd: the server's answer, as it came (RFC 2131)."""
    packet = file.content
    if len(packet) < _FIXED + len(_COOKIE) or packet[_FIXED : _FIXED + 4] != _COOKIE:
        return
    lasts, at = None, _FIXED + 4
    while at < len(packet) and packet[at] != _END:
        if packet[at] == _PAD:
            at += 1
            continue
        value = packet[at + 2 : at + 2 + packet[at + 1]] if at + 1 < len(packet) else b""
        if packet[at] == _LEASE_TIME and len(value) == 4:
            lasts = int.from_bytes(value)
        at += 2 + len(value) if value else len(packet)
    if lasts is None or lasts == 0xFFFFFFFF or file.written + lasts > now:
        interface = Path(file.path).name.partition(".")[0].partition("-")[0]
        yield Lease(place=file.path, address=str(ip_address(packet[_YOUR_ADDRESS])), interface=interface)


def dnsmasq(file: Found, now: float) -> Iterator[Lease]:
    """Read the file of dnsmasq, the server: a lease in each line, with its end, 0 for never."""
    for line in file.content.decode(errors="replace").splitlines():
        ends, _, rest = line.partition(" ")
        parts = rest.split()
        if ends.isdecimal() and len(parts) >= 2 and (int(ends) == 0 or int(ends) > now):
            yield Lease(place=file.path, address=parts[1], given=True)


_PLACES: tuple[tuple[str, str, Callable[[Found, float], Iterator[Lease]]], ...] = (
    ("var/lib/dhcp", ".leases", dhclient),
    ("run/systemd/netif/leases", "", networkd),
    ("var/lib/NetworkManager", ".lease", networkd),
    ("var/lib/NetworkManager", ".lease", dhclient),
    ("var/lib/dhcpcd", ".lease", dhcpcd),
    ("var/lib/dhcpcd5", ".lease", dhcpcd),
    ("var/lib/misc", ".leases", dnsmasq),
    ("var/lib/libvirt/dnsmasq", ".leases", dnsmasq),
)
"""Folder, end of the file's name, and reader. NetworkManager keeps files of both kinds in one folder."""


def read_leases(root: Path, now: float) -> tuple[tuple[Lease, ...], tuple[Gap, ...]]:
    """Read the leases below a root folder that are held at ``now``, in seconds since 1970, and say what could not be read."""
    found: set[Lease] = set()
    gaps: set[str] = set()
    for folder, ending, read in _PLACES:
        try:
            files = [name for name in names(root / folder) if name.endswith(ending)]
        except ObserveError as error:
            gaps.add(str(error))
            continue
        for name in files:
            try:
                file = read_file(root / folder / name)
            except ObserveError as error:
                gaps.add(str(error))
                continue
            if file is not None:
                found.update(lease for lease in map(_checked, read(file, now)) if lease is not None)
    return tuple(sorted(found, key=_order)), tuple(
        Gap(scope=Scope.LEASES, reason=clean(reason)) for reason in sorted(gaps)
    )


def _checked(lease: Lease) -> Lease | None:
    """Spell an address in one way; None for what is none: IPv6 leases of dnsmasq begin with a line of its own."""
    try:
        address = str(ip_address(lease.address))
    except ValueError:
        return None
    interface = clean(lease.interface) if lease.interface is not None else None
    return Lease(place=clean(lease.place), address=address, interface=interface, given=lease.given)


def _order(lease: Lease) -> tuple[str, str, str]:
    return lease.place, lease.address, lease.interface or ""
