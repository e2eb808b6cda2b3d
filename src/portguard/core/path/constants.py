"""Constants of rules as sets of numbers: addresses, ports, marks, and the words that nft has for the rest."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.model.net import Intervals, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.ruleset import Json


@dataclass(frozen=True, slots=True)
class Names:
    """Interface names: one by one, and as beginnings (``eth*``)."""

    exact: frozenset[str]
    starts: tuple[str, ...] = ()

    def hold(self, name: str) -> bool:
        """Whether an interface is meant."""
        return name in self.exact or any(name.startswith(start) for start in self.starts)


Constant = Intervals | Names

BITS = {
    "v4": 32, "v6": 128, "port": 16, "mark": 32, "proto": 8, "nfproto": 8, "ethertype": 16, "ct state": 32,
    "ct status": 32, "ct direction": 8, "tcp flags": 8, "pkttype": 8, "fib type": 32, "icmp type": 8,
    "icmpv6 type": 8, "icmp code": 8, "icmpv6 code": 8, "number": 64, "exists": 1,
}  # fmt: skip
"""Width of each kind of value."""

WORDS: dict[str, dict[str, int]] = {
    "proto": {
        "ip": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47,
        "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "comp": 108, "vrrp": 112,
        "l2tp": 115, "sctp": 132, "udplite": 136,
        # The words of Debian's /etc/protocols for what is not asked about.
        "hopopt": 0, "ggp": 3, "st": 5, "egp": 8, "igp": 9, "pup": 12, "hmp": 20, "xns-idp": 22, "rdp": 27,
        "iso-tp4": 29, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45,
        "rsvp": 46, "skip": 57, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88,
        "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "ipcomp": 108, "isis": 124, "fc": 133,
        "mobility-header": 135, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141,
        "rohc": 142, "ethernet": 143,
    },
    "nfproto": {"ipv4": 2, "ipv6": 10},
    "ethertype": {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "vlan": 0x8100},
    "ct state": {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
    "ct status": {
        "expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512,
    },
    "ct direction": {"original": 0, "reply": 1},
    "tcp flags": {
        "fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128,
    },
    "pkttype": {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3},
    "fib type": {
        "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
        "unreachable": 7, "prohibit": 8,
    },
    "icmp type": {
        "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
        "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
        "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
        "address-mask-request": 17, "address-mask-reply": 18,
    },
    "icmp code": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6 code": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
    "icmpv6 type": {
        "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
        "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
        "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133,
        "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137,
        "router-renumbering": 138, "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142,
        "mld2-listener-report": 143,
    },
}  # fmt: skip
"""Words that nft prints for numbers (nft describe), by kind."""


def constant(value: Json, kind: str) -> Constant | None:
    """Read a constant, range, prefix or anonymous list of them; None when it is not understood."""
    if kind == "name":
        return _names(value)
    match value:
        case str() if value != "*":
            single = number(value, kind)
            return None if single is None else ((single, single),)
        case {"range": [first, last]}:
            low, high = number(first, kind), number(last, kind)
            return None if low is None or high is None or low > high else ((low, high),)
        case {"prefix": {"addr": addr, "len": int() as length}} if kind in BITS:
            low = number(addr, kind)
            host = BITS[kind] - length
            return None if low is None or host < 0 else ((low, low | ((1 << host) - 1)),)
        case {"set": list() as members}:
            return constants(members, kind)
        case {"elem": {"val": inner}}:
            return constant(inner, kind)
        case "*":
            return None
    single = number(value, kind)
    return None if single is None else ((single, single),)


def constants(members: Sequence[Json], kind: str) -> Constant | None:
    """Read a list of constants as one set; None when any of them is not understood."""
    read = [constant(member, kind) for member in members]
    if any(item is None for item in read):
        return None
    if kind == "name":
        names = [item for item in read if isinstance(item, Names)]
        return Names(
            frozenset().union(*(item.exact for item in names)),
            tuple(start for item in names for start in item.starts),
        )
    return merge(pair for item in read if isinstance(item, tuple) for pair in item)


def number(value: Json, kind: str) -> int | None:
    """Read a single value of a kind as a number; a list is a set of flags. None when it is not understood."""
    if isinstance(value, bool):
        return int(value) if kind == "exists" else None
    if isinstance(value, int):
        return value if 0 <= value < 1 << BITS[kind] else None
    if isinstance(value, list) or (isinstance(value, dict) and len(value) == 1 and "|" in value):
        flags = [number(flag, kind) for flag in (value if isinstance(value, list) else value["|"])]
        out = 0
        for flag in flags:
            if flag is None:
                return None
            out |= flag
        return out
    if not isinstance(value, str):
        return None
    if kind in {"v4", "v6"}:
        return _address(value, kind)
    if value in WORDS.get(kind, ()):
        return WORDS[kind][value]
    try:
        return int(value, 0)
    except ValueError:
        return None


def _address(value: str, kind: str) -> int | None:
    if kind == "v4" and value.isascii():
        # ipaddress takes three times as long, and sets have a hundred thousand of them.
        parts = value.split(".")
        if len(parts) == 4 and all(map(str.isdigit, parts)):
            one, two, three, four = map(int, parts)
            if max(one, two, three, four) <= 255:
                return one << 24 | two << 16 | three << 8 | four
        return None
    try:
        return int(ipaddress.IPv6Address(value))
    except ValueError:
        return None


def _names(value: Json) -> Names | None:
    match value:
        case str():
            if value.endswith("*") and not value.endswith("\\*"):
                return Names(frozenset(), (value[:-1],))
            return Names(frozenset({value.replace("\\*", "*")}))
        case {"set": list() as members}:
            found = constants(members, "name")
            return found if isinstance(found, Names) else None
        case {"elem": {"val": inner}}:
            return _names(inner)
        case _:
            return None


def compared(op: str, value: Json, kind: str) -> Intervals | None:
    """Read the numbers for which ``left op value`` holds, for the ordering operators."""
    limit = number(value, kind) if kind in BITS else None
    if limit is None:
        return None
    last = (1 << BITS[kind]) - 1
    pairs = {"<": (0, limit - 1), "<=": (0, limit), ">": (limit + 1, last), ">=": (limit, last)}
    low, high = pairs[op]
    return ((low, high),) if low <= high else ()


def complement(numbers: Intervals, kind: str) -> Intervals:
    """All other numbers of a kind."""
    return subtract(((0, (1 << BITS[kind]) - 1),), numbers)


def unmasked(numbers: Intervals, mask: int, kind: str) -> Intervals | None:
    """Read the numbers that lie in ``numbers`` after ``& mask``; None when there are too many pieces of them."""
    out: list[tuple[int, int]] = []
    for low, high in numbers:
        if low != high:
            return None
        if low & ~mask:
            continue
        free = ~mask & ((1 << BITS[kind]) - 1)
        # The lowest run of free bits makes each piece longer; every free bit above it doubles their number.
        run = 0
        while free >> run & 1:
            run += 1
        others = [bit for bit in range(run, BITS[kind]) if free >> bit & 1]
        if len(others) > 10:
            return None
        for choice in range(1 << len(others)):
            start = low
            for place, bit in enumerate(others):
                start |= (choice >> place & 1) << bit
            out.append((start, start | ((1 << run) - 1)))
    return merge(out)
