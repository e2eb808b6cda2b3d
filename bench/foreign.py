"""Rules of somebody else: the ruleset of a busy host, of any size. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PER_CHAIN = 100
"""Rules of a sub-chain; administrators and tools group theirs by service or by network."""


def ruleset(rules: int, *, elements: int = 0, interval: bool = False) -> str:
    """Spell a table ``inet filter`` with that many rules, and one set where ``elements`` are wanted.

    The chain drops by default, accepts what is established, and jumps to its sub-chains for everything else.
    """
    head = [
        "ct state established,related accept",
        'iifname "lo" accept',
        "meta l4proto { icmp, ipv6-icmp } accept",
    ]
    if elements:
        head.append("ip saddr @banned drop")
    chains = [rules // _PER_CHAIN * [_PER_CHAIN], [rules % _PER_CHAIN]]
    sizes = [size for row in chains for size in row if size]
    lines = ["table inet filter {"]
    if elements:
        flags = "\n\t\tflags interval" if interval else ""
        lines.append(f"\tset banned {{\n\t\ttype ipv4_addr{flags}\n\t\telements = {{")
        lines.append(",\n".join(_elements(elements, interval=interval)))
        lines.append("\t\t}\n\t}")
    first = 0
    for number, size in enumerate(sizes):
        body = "\n".join(f"\t\t{_rule(first + at)}" for at in range(size))
        lines.append(f"\tchain site_{number} {{\n{body}\n\t}}")
        first += size
    lines.append("\tchain input {\n\t\ttype filter hook input priority filter; policy drop;")
    lines += (f"\t\t{line}" for line in (*head, *(f"jump site_{number}" for number in range(len(sizes)))))
    lines.append("\t}\n}\n")
    return "\n".join(lines)


def _rule(number: int) -> str:
    """Give one of the kinds of rule that such rulesets are made of, each with networks and ports of its own."""
    network = f"10.{100 + number // 250 % 100}.{number % 250}.0/24"
    host = f"192.0.2.{number % 250 + 1}"
    port = 20000 + number % 20000
    kinds = (
        f"ip saddr {network} tcp dport {port} accept",
        f"ip saddr {host} drop",
        f"tcp dport {{ {port}, {port + 1} }} accept",
        f"ip saddr {network} udp dport {port} counter accept",
        f"ip6 saddr 2001:db8:{number % 0xFFFF:x}::/48 tcp dport {port} accept",
        f'ct state new tcp dport {port} counter accept comment "service {number}"',
        f"ip saddr {{ {network}, {host} }} tcp dport {port}-{port + 9} drop",
        f'iifname "eth{number % 4}" tcp dport {port} accept',
    )
    return kinds[number % len(kinds)]


def _elements(count: int, *, interval: bool) -> Iterator[str]:
    """Give addresses or networks, none beside another: adjacent ones would be merged into fewer."""
    for number in range(count):
        if interval:
            yield f"100.{64 + (number >> 14)}.{number >> 6 & 255}.{(number & 63) * 4}/31"
        else:
            yield f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
