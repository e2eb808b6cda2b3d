"""Shapes that rulesets of other people have, each of any size: what is quick with one can be slow with the next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.foreign import ruleset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HEAD = (
    "ct state established,related accept",
    'iifname "lo" accept',
    "meta l4proto { icmp, ipv6-icmp } accept",
)
_SERVICES = 40
"""Chains of the iptables shape; a person names so many services, and a cluster many more."""


def mixed(rules: int) -> str:
    """Chains by site, with eight kinds of rules in turn."""
    return ruleset(rules)


def ports(rules: int) -> str:
    """One chain of rules that each accept a port."""
    return _chain(f"tcp dport {_port(number)} accept" for number in range(rules))


def clients(rules: int) -> str:
    """One chain of rules that each let one client in to one port, as inventories write them."""
    return _chain(f"ip saddr {_host(number)} tcp dport {_port(number)} accept" for number in range(rules))


def bans(rules: int) -> str:
    """One chain of rules that each drop an address."""
    return _chain(f"ip saddr {_host(number)} counter drop" for number in range(rules))


def interfaces(rules: int) -> str:
    """A rule for each of many interfaces: guests, containers, tunnels."""
    return _chain(f'iifname "tap{number}" tcp dport {_port(number % 50)} accept' for number in range(rules))


def jumps(rules: int) -> str:
    """As iptables writes clusters: a chain for each service, entered by port, with a rule for each client."""
    each = max(rules // _SERVICES - 1, 1)
    lines = ["table ip filter {"]
    for service in range(_SERVICES):
        lines.append(f"\tchain KUBE-FW-{service} {{")
        lines += [
            f'\t\tip saddr {_host(number)} counter accept comment "client {number}"'
            for number in range(service * each, (service + 1) * each)
        ]
        lines.append("\t\tcounter return\n\t}")
    lines.append("\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;")
    lines += [
        f"\t\t{line}"
        for line in ("ct state established,related counter accept", 'iifname "lo" counter accept')
    ]
    lines += [
        f"\t\tmeta l4proto tcp tcp dport {8000 + service} counter jump KUBE-FW-{service}"
        for service in range(_SERVICES)
    ]
    return "\n".join([*lines, "\t}\n}\n"])


def concatenations(rules: int) -> str:
    """One named set of client, protocol and port, with as many elements as there could be rules."""
    elements = ",\n".join(f"{_host(number)} . tcp . {_port(number)}" for number in range(rules))
    kind = f"\tset allowed {{\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\telements = {{ {elements} }}\n\t}}"
    return _chain(["ip saddr . meta l4proto . th dport @allowed accept"], before=kind)


def blocklist(elements: int, *, interval: bool) -> str:
    """A hundred rules behind a named set of addresses or of networks."""
    return ruleset(100, elements=elements, interval=interval)


SHAPES: dict[str, Callable[[int], str]] = {
    "mixed rules in chains": mixed,
    "a rule for each port": ports,
    "a rule for each client and port": clients,
    "a rule for each banned address": bans,
    "a rule for each interface": interfaces,
    "chains by service, as iptables writes them": jumps,
    "a set of client . protocol . port": concatenations,
}
"""Rulesets by what they are, each a function of the number of its rules (or elements)."""


def addition(text: str) -> str:
    """Spell a command that adds one rule to the base chain of one of these rulesets, as somebody's next change would."""
    _, family, table, *_ = text.split(maxsplit=3)
    return f"add rule {family} {table} {'INPUT' if family == 'ip' else 'input'} ip saddr 198.51.100.77 tcp dport 9 drop"


def _chain(rules: Iterable[str], *, before: str = "") -> str:
    body = [*(f"\t\t{line}" for line in _HEAD), *(f"\t\t{line}" for line in rules)]
    top = ["table inet filter {", *([before] if before else []), "\tchain input {"]
    return "\n".join([*top, "\t\ttype filter hook input priority filter; policy drop;", *body, "\t}\n}\n"])


def _host(number: int) -> str:
    """Give one address of each second pair, so that none is beside another."""
    return f"10.{100 + (number >> 15) % 100}.{number >> 7 & 255}.{(number & 127) * 2}"


def _port(number: int) -> int:
    """Give a port; those of the guarded role are among them."""
    return 1000 + number % 40_000
